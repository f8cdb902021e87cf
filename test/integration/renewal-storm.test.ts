import { X509Certificate } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Tx } from "../../src/db/index.ts";
import type { EnrolmentAuthority } from "../../src/identity/index.ts";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import {
  createInstallation,
  type EnrolledKey,
  type Installation,
} from "../support/installation.ts";
import { newKey } from "../support/pki.ts";

const DEVICES = 40;

describe("renewals that arrive together", () => {
  let test: TestDatabase;
  let installation: Installation;
  let devices: EnrolledKey[];

  beforeAll(async () => {
    test = await createTestDatabase();
    installation = createInstallation(test);
    await installation.identity.ensurePlatform();
    for (const id of ["acme", "globex"]) {
      await installation.tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
    }
    devices = [];
    for (let index = 0; index < DEVICES; index += 1) {
      devices.push(await installation.enroll(`d-${index}`));
    }
  });
  afterAll(() => test.close());

  const peerOf = ({ deviceId, serial }: EnrolledKey): EnrolmentAuthority => ({
    kind: "certificate",
    peer: { tenantId: "acme", deviceId, serial, notAfter: new Date(Date.now() + 3_600_000) },
  });
  const renew = (device: EnrolledKey, options: { key?: ReturnType<typeof newKey> } = {}) =>
    installation.identity.enroll({
      tenantId: "acme",
      csr: createCertificateRequest({
        privateKey: options.key ?? newKey(),
        commonName: `acme/${device.deviceId}`,
        organization: "acme",
      }),
      via: "est",
      authority: peerOf(device),
    });

  it("each get their own certificate, and an entry in an audit chain that is whole", async () => {
    const before = await installation.tenancy.audit.verify("acme");
    const keys = devices.map(() => newKey());
    const renewed = await Promise.all(
      devices.map((device, index) => renew(device, { key: keys[index] as (typeof keys)[0] })),
    );
    expect(new Set(renewed.map(({ serial }) => serial)).size).toBe(DEVICES);
    for (const [index, { certificatePem, deviceId }] of renewed.entries()) {
      const certificate = new X509Certificate(certificatePem);
      expect(certificate.subject).toBe(`O=acme\nCN=acme/${deviceId}`);
      expect(deviceId).toBe(devices[index]?.deviceId);
      expect(certificate.checkPrivateKey(keys[index] as (typeof keys)[0])).toBe(true);
    }
    const after = await installation.tenancy.audit.verify("acme");
    expect(after).toMatchObject({ entries: before.entries + DEVICES, intact: true });
    const rows = await installation.identity.certificates("acme", "d-0");
    expect(rows.map((row) => row.issuedVia)).toEqual(["est", "test"]);
  });

  it("are refused one by one: the faults of some cost the others nothing", async () => {
    const [stolen, keyless, good, ...others] = devices as [EnrolledKey, EnrolledKey, EnrolledKey];
    const reason = { reason: "keyCompromise" } as const;
    const { serial } = stolen;
    await installation.identity.revoke("acme", { serial }, reason, SYSTEM_ACTOR);
    const outcomes = await Promise.allSettled([
      renew(stolen),
      renew(keyless, { key: good.key }),
      renew(good),
      renew({ ...good, deviceId: "nobody" }),
      ...others.map((device) => renew(device)),
    ]);
    const codes = outcomes.map((outcome) =>
      outcome.status === "fulfilled" ? "issued" : (outcome.reason.details?.step ?? outcome.reason),
    );
    expect(codes.slice(0, 4)).toEqual(["right", "key", "issued", "right"]);
    expect(codes.slice(4)).toEqual(others.map(() => "issued"));
  });

  it("of one device with one key are one renewal; of two devices with one key, one alone is granted", async () => {
    const [, , , twice, first, second] = devices as [
      EnrolledKey,
      EnrolledKey,
      EnrolledKey,
      EnrolledKey,
      EnrolledKey,
      EnrolledKey,
    ];
    const own = newKey();
    const [one, other] = await Promise.all([
      renew(twice, { key: own }),
      renew(twice, { key: own }),
    ]);
    expect(one.serial).toBe(other.serial);
    const shared = newKey();
    const outcomes = await Promise.allSettled([
      renew(first, { key: shared }),
      renew(second, { key: shared }),
    ]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  });

  it("of many keys of one device leave three certificates in force", async () => {
    const device = devices[7] as EnrolledKey;
    await Promise.all(Array.from({ length: 8 }, () => renew(device)));
    const all = await installation.identity.certificates("acme", device.deviceId);
    const active = all.filter(({ status }) => status === "active");
    expect(active).toHaveLength(3);
    expect(active.map(({ serial }) => serial)).toContain(device.serial);
  });

  it("hold a device's row first, as do its reports and confirmations: nobody deadlocks", async () => {
    const { rotation } = installation.identity;
    const device = await installation.enroll("reporting");
    const peer = { ...device, tenantId: "acme", notAfter: new Date(Date.now() + 3_600_000) };
    const ofDevice = { tenant: "acme", id: "reporting" };
    const waiting: Promise<void>[] = [];
    await test.db.tenant("acme", async (tx) => {
      await sql`select from devices where tenant_id = ${ofDevice.tenant} and id = ${ofDevice.id}
        for update`.execute(tx);
      waiting.push(rotation.confirm(peer, device.serial));
      waiting.push(rotation.record(peer, { step: "request" }));
      await vi.waitUntil(async () => (await lockWaits(tx)) >= waiting.length, { timeout: 60_000 });
      // Whoever waits must not hold these already.
      await sql`update certificates set confirmed_at = now() where serial = ${device.serial}`.execute(
        tx,
      );
      await sql`insert into certificate_rotations
          (tenant_id, device_id, step, failures, started_at, updated_at)
        values (${ofDevice.tenant}, ${ofDevice.id}, 'request', 0, now(), now())`.execute(tx);
    });
    await Promise.all(waiting);
  });

  it("of a suspended tenant are refused, all of them", async () => {
    await installation.tenancy.tenants.setStatus("acme", "suspended", SYSTEM_ACTOR);
    const outcomes = await Promise.allSettled(devices.slice(10, 14).map((device) => renew(device)));
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "forbidden" } });
    }
    await installation.tenancy.tenants.setStatus("acme", "active", SYSTEM_ACTOR);
  });
});

/** Transactions of this database that wait for a lock of another. */
async function lockWaits(tx: Tx): Promise<number> {
  const { rows } = await sql<{ waiting: number }>`select count(*)::int as waiting
    from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
    tx,
  );
  return rows[0]?.waiting ?? 0;
}
