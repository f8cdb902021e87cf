import { once } from "node:events";
import tls from "node:tls";
import mqttPacket from "mqtt-packet";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Gateway, startGateway } from "../../src/gateway/index.ts";
import { TicketKeys } from "../../src/identity/ticket-keys.ts";
import { type Clock, systemClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { TLS_SESSION_SECONDS } from "../../src/kernel/tls-policy.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createGatewayFixture, type GatewayFixture } from "../support/gateway.ts";
import { createInstallation, type Installation } from "../support/installation.ts";
import { pemOf } from "../support/pki.ts";

const SLOT_MS = TLS_SESSION_SECONDS * 1_000;
/** The first minutes of a slot, so that no test runs over its end. */
const BASE_MS = Math.floor(Date.now() / SLOT_MS) * SLOT_MS + 60_000;
const STARTED_MS = Date.now();

let aheadMs = 0;
const clock: Clock = {
  now: () => BASE_MS + (Date.now() - STARTED_MS) + aheadMs,
  after: systemClock.after.bind(systemClock),
};

let fixture: GatewayFixture;
let here: Installation;
let there: Installation;
let gateways: [Gateway, Gateway];

beforeAll(async () => {
  fixture = await createGatewayFixture();
  here = createInstallation(fixture.test, { clock });
  await here.identity.ensurePlatform();
  await here.identity.ensureTenantAuthority("acme");
  // Another machine of the same installation: the same database and master key, nothing else.
  there = createInstallation(fixture.test, { clock });
  const start = ({ identity }: Installation, gatewayId: string) =>
    startGateway({
      ...{ ...fixture.deps, clock, identity, gatewayId },
      ...{ port: 0, bindAddress: "127.0.0.1" },
    });
  gateways = [await start(here, "gateway-a"), await start(there, "gateway-b")];
});
afterAll(async () => {
  for (const gateway of gateways ?? []) await gateway.close();
  await fixture?.close();
});

interface Client {
  key: string;
  cert: string;
  ca: string;
}

async function enroll(deviceId: string): Promise<Client> {
  const { key, chainPem, rootPem } = await here.enroll(deviceId);
  return { key: pemOf(key), cert: chainPem, ca: rootPem };
}

/** What the CONNECT is answered with, and whether the TLS session was resumed. */
async function connect({ port }: Gateway, client: Client, session?: Buffer) {
  const socket = tls.connect({
    ...client,
    ...{ port, host: "127.0.0.1", servername: "localhost" },
    ...(session ? { session } : {}),
  });
  let ticket: Buffer | undefined;
  socket.on("session", (given) => {
    ticket = given;
  });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  const parser = mqttPacket.parser({ protocolVersion: 5 });
  const answered = new Promise<number>((resolve) => {
    parser.on("packet", (packet) => {
      if (packet.cmd === "connack") resolve(packet.reasonCode ?? -1);
    });
  });
  socket.on("data", (bytes: Buffer) => parser.parse(bytes));
  const packet = {
    ...({ cmd: "connect", clientId: "c", protocolId: "MQTT", protocolVersion: 5 } as const),
    ...{ clean: true, keepalive: 60 },
  };
  socket.write(mqttPacket.generate(packet, { protocolVersion: 5 }));
  const reasonCode = await answered;
  const reused = socket.isSessionReused();
  socket.destroy();
  return { reasonCode, reused, ticket };
}

describe("a TLS session that began at one gateway", () => {
  it("is resumed at another one", async () => {
    const device = await enroll("roams");
    const first = await connect(gateways[0], device);
    expect(first).toMatchObject({ reasonCode: 0, reused: false });
    expect(await connect(gateways[1], device, first.ticket)).toMatchObject({
      ...{ reasonCode: 0, reused: true },
    });
    const back = await connect(gateways[1], device);
    expect(await connect(gateways[0], device, back.ticket)).toMatchObject({
      ...{ reasonCode: 0, reused: true },
    });
  });

  it("does not let in a certificate that was revoked since", async () => {
    const device = await enroll("leaves");
    const { ticket } = await connect(gateways[0], device);
    await here.identity.revoke("acme", { deviceId: "leaves" }, "stolen", SYSTEM_ACTOR);
    // The other machine has heard nothing; its memory of a good standing lasts four seconds.
    aheadMs += 5_000;
    const again = await connect(gateways[1], device, ticket);
    expect(again).toMatchObject({ reasonCode: 0x87, reused: true });
  });

  it("does not let in a certificate that has expired since", async () => {
    const { tenants } = fixture.tenancy;
    const settings = { certificateLifetimeHours: 1, certificateGraceDays: 0 };
    await tenants.updateSettings("acme", settings, SYSTEM_ACTOR);
    const device = await enroll("expires");
    const { reasonCode, ticket } = await connect(gateways[0], device);
    expect(reasonCode).toBe(0);
    aheadMs += 3_600_000 + 60_000;
    const again = await connect(gateways[1], device, ticket);
    expect(again).toMatchObject({ reasonCode: 0x87, reused: true });
  });

  it("is begun anew once the ticket keys have changed, and resumed from then on", async () => {
    const settings = { certificateLifetimeHours: 720 };
    await fixture.tenancy.tenants.updateSettings("acme", settings, SYSTEM_ACTOR);
    const device = await enroll("stays");
    const { ticket } = await connect(gateways[0], device);
    aheadMs += SLOT_MS;
    // Listeners ask again when something of the authorities is new, or after ten seconds.
    for (const { bus } of [here, there]) bus.publish("authority.acme", { tenantId: "acme" });
    await expect.poll(async () => (await connect(gateways[1], device, ticket)).reused).toBe(false);
    const renewed = await connect(gateways[0], device);
    await expect
      .poll(async () => (await connect(gateways[1], device, renewed.ticket)).reused)
      .toBe(true);
  });
});

describe("the keys of TLS tickets", () => {
  const sealer = createSealer(Buffer.alloc(32, 1));
  const keys = () => new TicketKeys({ db: fixture.test.db, clock, sealer });

  it("are the same in every process, other ones for each purpose and each slot of time", async () => {
    const [one, two] = [keys(), keys()];
    const [left, right] = await Promise.all([one.current("mqtt"), two.current("mqtt")]);
    expect(left).toEqual(right);
    expect(left).toHaveLength(48);
    expect(await one.current("https")).not.toEqual(left);
    aheadMs += SLOT_MS;
    const later = await one.current("mqtt");
    expect(later).not.toEqual(left);
    expect(await two.current("mqtt")).toEqual(later);
    expect(await keys().current("mqtt")).toEqual(later);
  });

  it("lie sealed in the database, and old ones not at all", async () => {
    await keys().current("mqtt");
    const client = new pg.Client({ connectionString: fixture.test.superuserUrl });
    await client.connect();
    const { rows } = await client.query(
      "select slot, secret_sealed as sealed from tls_ticket_keys",
    );
    await client.end();
    const slot = Math.floor(clock.now() / SLOT_MS);
    const slots = rows.map((row) => Number(row.slot)).sort();
    expect(slots).toEqual([slot, slot + 1]);
    for (const row of rows) {
      const context = `tls-ticket-keys:${row.slot}`;
      expect(row.sealed.includes(sealer.open(row.sealed, context))).toBe(false);
      // A row that was moved to another slot opens nothing.
      expect(() => sealer.open(row.sealed, "tls-ticket-keys:0")).toThrow();
    }
  });

  it("cannot be read by a tenant's transaction", async () => {
    const rows = await fixture.test.db.tenant("acme", (tx) =>
      tx.selectFrom("tls_ticket_keys").select("slot").execute(),
    );
    expect(rows).toEqual([]);
  });
});
