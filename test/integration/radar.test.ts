import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Gateway, startGateway } from "../../src/gateway/index.ts";
import { addKnocks } from "../../src/identity/knocks-store.ts";
import { createCertificateWatch } from "../../src/jobs/certificate-watch.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { RawClient, until } from "../support/gateway.ts";
import { forge } from "../support/pki.ts";
import { createRealModules, type RealModules } from "../support/real-modules.ts";

const CLIENT = "1.3.6.1.5.5.7.3.2";

describe("the radar", () => {
  let real: RealModules;
  let gateway: Gateway;
  let watch: { stop(): Promise<void> };

  beforeAll(async () => {
    real = await createRealModules();
    const listen = { port: 0, bindAddress: "127.0.0.1", gatewayId: "g" };
    gateway = await startGateway({ ...real.modules, ...listen });
    watch = await real.modules.identity.watchStanding();
  });
  afterAll(async () => {
    await gateway?.close();
    await watch?.stop();
    await real?.close();
  });

  /** Shows a certificate that somebody has made, and waits for the refusal. */
  async function knock(tenantId: string, deviceId: string): Promise<void> {
    const stranger = await forge({
      subject: `O=${tenantId}, CN=${tenantId}/${deviceId}`,
      uris: [`spiffe://${tenantId}.devices.vautn.internal/device/${deviceId}`],
      usage: [CLIENT],
    });
    await show(stranger.keyPem, stranger.certificatePem);
  }

  async function show(key: string, cert: string): Promise<void> {
    const ca = await real.modules.identity.rootCertificatePem();
    const client = await RawClient.open(gateway.port, { key, cert, ca });
    client.send({
      ...{ cmd: "connect", clientId: "x", protocolId: "MQTT", protocolVersion: 5 },
      ...{ clean: true, keepalive: 60 },
    });
    expect(await client.next("connack")).toMatchObject({ reasonCode: 0x87 });
    await client.closed;
  }

  it("lists certificates that were refused, with the tenant that they name where there is one", async () => {
    await knock("acme", "stranger");
    await knock("no-such-tenant", "stranger");
    const odd = await forge({ subject: "CN=odd", usage: [CLIENT] });
    await show(odd.keyPem, odd.certificatePem);
    await show(odd.keyPem, odd.certificatePem);
    const knocks = async (tenantId: string | null) =>
      (await real.modules.identity.radar.knocks(tenantId)).items;
    await until(async () => (await knocks(null)).length === 2, 10_000);
    expect(await knocks("acme")).toMatchObject([
      { subject: "O=acme, CN=acme/stranger", deviceId: "stranger", reason: "foreign-ca", count: 1 },
    ]);
    expect((await knocks("acme"))[0]?.address).toContain("127.0.0.1");
    expect(await knocks(null)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ subject: "CN=odd", reason: "malformed", count: 2 }),
        expect.objectContaining({ subject: "O=no-such-tenant, CN=no-such-tenant/stranger" }),
      ]),
    );
    expect(await knocks("globex")).toEqual([]);
    const page = await real.modules.identity.radar.knocks(null, { limit: 1 });
    expect(page.items).toHaveLength(1);
    const next = await real.modules.identity.radar.knocks(null, { cursor: page.nextCursor ?? "" });
    expect(next.items).toHaveLength(1);
  });

  it("keeps a bounded list under attack, and on it who knocks again and again", async () => {
    const at = new Date(Date.now() - 1_000);
    const row = (index: number, count: number) => ({
      ...{
        fingerprint: `f${index}`,
        subject: "s",
        issuer: "i",
        device_id: null,
        reason: "unknown",
      },
      ...{ count, first_seen_at: at, last_seen_at: at, address: null },
    });
    await real.test.db.tenant("globex", (tx) => addKnocks(tx, "globex", [row(0, 5)]));
    for (let start = 1; start < 2_000; start += 500) {
      const rows = Array.from({ length: 500 }, (_, index) => row(start + index, 1));
      await real.test.db.tenant("globex", (tx) => addKnocks(tx, "globex", rows));
    }
    const count = await real.test.db.tenant("globex", (tx) =>
      tx
        .selectFrom("certificate_knocks")
        .select("fingerprint")
        .where("tenant_id", "=", "globex")
        .execute(),
    );
    expect(count).toHaveLength(1_000);
    expect(count.map((one) => one.fingerprint)).toContain("f0");
  });

  it("shows when certificates end, with which keys, and what is overdue", async () => {
    for (const id of ["r-1", "r-2", "r-3"]) await real.enroll(id);
    await real.test.db.tenant("acme", async (tx) => {
      const now = Date.now();
      const set = (deviceId: string, days: number) =>
        tx
          .updateTable("certificates")
          .set({
            not_before: new Date(now - 90 * 86_400_000),
            not_after: new Date(now + days * 86_400_000),
          })
          .where("device_id", "=", deviceId)
          .execute();
      await set("r-1", -1);
      await set("r-2", 10);
    });
    const picture = await radarOf("acme");
    expect(picture).toMatchObject({ devices: 3, expired: 1, overdue: 2, withoutCertificate: 0 });
    expect(picture.weeks[1]?.count).toBe(1);
    expect(picture.weeks.reduce((sum, week) => sum + week.count, 0) + picture.later).toBe(2);
    expect(picture.algorithms).toEqual([{ name: "ec-p256", count: 3 }]);
    expect(picture.authorities).toMatchObject([{ count: 3 }]);
    expect(await radarOf("globex")).toMatchObject({ devices: 0, expired: 0 });
  });

  const radarOf = (tenantId: string) => real.modules.identity.radar.picture(tenantId);

  it("shows who failed to rotate and at which step, keeps the last twenty failures, and forgets with success", async () => {
    const { identity } = real.modules;
    const device = { tenantId: "acme", deviceId: "r-3" };
    const error = { element: "server", message: "no route to host" };
    for (let index = 0; index < 25; index += 1) {
      await identity.rotation.record(device, { step: "trial", error });
    }
    const { items } = await identity.radar.failing("acme");
    expect(items).toMatchObject([{ deviceId: "r-3", step: "trial", error, failures: 25 }]);
    expect((await identity.radar.failing("acme", { step: "store" })).items).toEqual([]);
    expect((await identity.radar.failing("globex")).items).toEqual([]);
    expect(await identity.radar.failures("acme", "r-3")).toHaveLength(20);
    await identity.rotation.record(device, { step: "done" });
    expect((await identity.radar.failing("acme")).items).toEqual([]);
    expect(await identity.radar.failures("acme", "r-3")).toHaveLength(20);
  });

  it("raises alerts about what is wrong, once, and resolves them with their causes", async () => {
    const { alerts, identity } = real.modules;
    const look = createCertificateWatch({ clock: systemClock, identity, alerts });
    await look("acme");
    await look("acme");
    const open = async () => (await alerts.list("acme", { state: "open" })).items;
    expect(await open()).toMatchObject([{ kind: "certificates-expiring", occurrences: 1 }]);
    const { revocations } = identity;
    const reason = { reason: "cessationOfOperation" } as const;
    const deviceIds = ["r-1", "r-2"];
    await revocations.revoke("acme", { deviceIds }, reason, SYSTEM_ACTOR);
    await look("acme");
    expect(await open()).toEqual([]);
  });
});
