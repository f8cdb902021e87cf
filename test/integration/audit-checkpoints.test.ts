import { sql } from "kysely";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { AUDIT_CHAIN_START, auditHash } from "../../src/protocol/index.ts";
import {
  type AuditCheckpoints,
  createAuditCheckpoints,
  createTenancy,
  PLATFORM_CHAIN,
  SYSTEM_ACTOR,
  type Tenancy,
} from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const DAY_MS = 86_400_000;

describe("what the platform signs of the audit log", () => {
  let test: TestDatabase;
  let superuser: pg.Client;
  let clock: VirtualClock;
  let tenancy: Tenancy;
  let checkpoints: AuditCheckpoints;
  let tenant: string;
  let next = 0;

  beforeAll(async () => {
    test = await createTestDatabase();
    superuser = new pg.Client({ connectionString: test.superuserUrl });
    await superuser.connect();
    // Long ago: the database lets nobody delete what is young by its own clock.
    clock = new VirtualClock(Date.UTC(2020, 0, 1));
    tenancy = createTenancy({ db: test.db, clock });
    const sealer = createSealer(Buffer.alloc(32, 7));
    checkpoints = createAuditCheckpoints({ db: test.db, clock, sealer, tenancy });
  });
  afterAll(async () => {
    await superuser.end();
    await test.close();
  });
  beforeEach(async () => {
    tenant = `tenant-${next++}`;
    await tenancy.tenants.create({ id: tenant, name: tenant }, SYSTEM_ACTOR);
  });

  async function record(count: number) {
    for (let index = 0; index < count; index += 1) {
      await test.db.tenant(tenant, (tx) =>
        tenancy.audit.record(tx, tenant, {
          actor: { kind: "user", id: "u", name: "Ursula" },
          action: "device.tag",
          targetKind: "device",
          targetId: `d-${index}`,
          outcome: "done",
        }),
      );
    }
  }

  /** What a superuser can do: every hash of the chain made anew, its end too, after a change. */
  async function rewriteChain(change: string) {
    await superuser.query(change, [tenant]);
    const { rows } = await superuser.query(
      "select * from audit_entries where tenant_id = $1 order by seq",
      [tenant],
    );
    let previous: Buffer = AUDIT_CHAIN_START;
    for (const row of rows) {
      const hash = auditHash(previous, {
        ...{ tenantId: tenant, seq: Number(row.seq), at: row.at },
        ...{ actorKind: row.actor_kind, actorId: row.actor_id, actorName: row.actor_name },
        ...{ action: row.action, targetKind: row.target_kind, targetId: row.target_id },
        ...{ outcome: row.outcome, address: row.address, traceId: row.trace_id },
        details: row.details,
      });
      await superuser.query(
        "update audit_entries set previous_hash = $1, hash = $2 where tenant_id = $3 and seq = $4",
        [previous, hash, tenant, row.seq],
      );
      previous = hash;
    }
    const head = [tenant, rows.at(-1).seq, previous];
    await superuser.query("update audit_heads set seq = $2, hash = $3 where tenant_id = $1", head);
  }

  it("is the end of the chain, once for each time that it has moved", async () => {
    await record(3);
    expect(await checkpoints.sign(tenant)).toBe(true);
    expect(await checkpoints.sign(tenant)).toBe(false);
    await record(1);
    expect(await checkpoints.sign(tenant)).toBe(true);
    const { items, nextCursor } = await checkpoints.list(tenant);
    expect(nextCursor).toBeNull();
    expect(items.map(({ signed }) => [signed.number, signed.seq])).toEqual([
      [1, 4],
      [2, 5],
    ]);
    const verification = await checkpoints.verify(tenant);
    expect(verification).toMatchObject({ intact: true, entries: 5, signed: { seq: 5, number: 2 } });
  });

  it("is listed in pages, of whatever size, to the last", async () => {
    const now = [tenant, Buffer.alloc(32), "k", Buffer.alloc(64)];
    await superuser.query(
      `insert into audit_checkpoints (tenant_id, number, seq, hash, at, key_id, signature)
       select $1, n, n, $2, now(), $3, $4 from generate_series(1, 501) n`,
      now,
    );
    const first = await checkpoints.list(tenant, { limit: 500 });
    expect([first.items.length, first.nextCursor]).toEqual([500, "500"]);
    const second = await checkpoints.list(tenant, { limit: 500, after: 500 });
    expect([second.items.length, second.nextCursor]).toEqual([1, null]);
  });

  it("shows a chain that a superuser has made anew from an altered entry on", async () => {
    await record(4);
    await checkpoints.sign(tenant);
    await record(2);
    await rewriteChain("update audit_entries set target_id = 'x' where tenant_id = $1 and seq = 3");
    expect(await tenancy.audit.verify(tenant)).toMatchObject({ intact: true });
    const shown = { intact: false, reason: "checkpoint", firstBroken: 5 };
    expect(await checkpoints.verify(tenant)).toMatchObject(shown);
  });

  it.each([
    [
      "signed by another key",
      "update audit_checkpoints set signature = decode(repeat('ab', 64), 'hex') where tenant_id = $1",
      "signature",
    ],
    [
      "moved to another entry",
      "update audit_checkpoints set seq = seq + 1 where tenant_id = $1 and number = 2",
      "signature",
    ],
    [
      "taken away",
      "delete from audit_checkpoints where tenant_id = $1 and number = 2",
      "signature",
    ],
    [
      "of another tenant's chain",
      `update audit_checkpoints c set signature = o.signature, hash = o.hash, seq = o.seq
       from audit_checkpoints o where c.tenant_id = $1 and c.number = 1 and o.tenant_id = 'tenant-0'
         and o.number = 1`,
      "signature",
    ],
  ])("is missed or refused when it was %s", async (_, statement, reason) => {
    for (let index = 0; index < 3; index += 1) {
      await record(2);
      await checkpoints.sign(tenant);
    }
    expect(await checkpoints.verify(tenant)).toMatchObject({ intact: true });
    const { rowCount } = await superuser.query(statement, [tenant]);
    expect(rowCount).toBeGreaterThan(0);
    expect(await checkpoints.verify(tenant)).toMatchObject({ intact: false, reason });
  });

  it("stands after the master key was replaced, and the key of before signs nothing any more", async () => {
    const [old, fresh] = [Buffer.alloc(32, 7), Buffer.alloc(32, 8)];
    const given = { db: test.db, clock, tenancy };
    const renewed = createAuditCheckpoints({ ...given, sealer: createSealer(fresh, [old]) });
    await record(2);
    await checkpoints.sign(tenant);
    await record(2);
    await renewed.sign(tenant);
    expect(await renewed.verify(tenant)).toMatchObject({ intact: true, signed: { number: 2 } });
    expect(renewed.replacedKeys).toEqual([checkpoints.key]);
    // Without the key of before nobody can tell who has signed.
    const without = createAuditCheckpoints({ ...given, sealer: createSealer(fresh) });
    expect(await without.verify(tenant)).toMatchObject({ intact: false, reason: "signature" });
    // Whoever has found the old key alone cannot go on with it.
    await record(1);
    await checkpoints.sign(tenant);
    expect(await renewed.verify(tenant)).toMatchObject({ intact: false, reason: "signature" });
  });

  it("cannot be written by the application a second time, or be changed", async () => {
    const client = new pg.Client({ connectionString: test.appUrl });
    await client.connect();
    for (const statement of [
      "update audit_checkpoints set seq = 1",
      "delete from audit_checkpoints",
      "truncate audit_checkpoints",
    ]) {
      await expect(client.query(statement), statement).rejects.toThrow(/permission denied/);
    }
    await client.end();
  });

  it("lets old entries go, up to a checkpoint, and leaves a record of it", async () => {
    await record(3);
    await checkpoints.sign(tenant);
    clock.advance(100 * DAY_MS);
    await record(2);
    await checkpoints.sign(tenant);
    await tenancy.tenants.updateSettings(tenant, { auditRetentionDays: 90 }, SYSTEM_ACTOR);
    expect(await checkpoints.forgetOld(tenant)).toBe(4);
    expect(await checkpoints.forgetOld(tenant)).toBe(0);
    const verification = await checkpoints.verify(tenant);
    expect(verification).toMatchObject({ intact: true, entries: 4, forgottenUpTo: 4 });
    const [newest] = (await tenancy.audit.list(tenant)).items;
    expect(newest).toMatchObject({ action: "audit.forget", details: { upTo: 4, deleted: 4 } });
    // The same done by hand is found out.
    await superuser.query("delete from audit_entries where tenant_id = $1 and seq <= 6", [tenant]);
    const cut = { intact: false, reason: "cut", firstBroken: 1 };
    expect(await checkpoints.verify(tenant)).toMatchObject(cut);
  });

  it("is what the database asks for before anything is deleted, and ninety days of age", async () => {
    await record(3);
    await checkpoints.sign(tenant);
    await record(1);
    const forget = (upTo: number, chain = tenant) =>
      test.db.tenant(tenant, async (tx) => {
        await sql`select vautn.forget_audit(${chain}, ${upTo}::bigint)`.execute(tx);
      });
    await expect(forget(5)).rejects.toThrow(/signed checkpoint/);
    await expect(forget(4, "tenant-0")).rejects.toThrow(/another tenant/);
    await superuser.query("update audit_entries set at = now() where tenant_id = $1 and seq = 4", [
      tenant,
    ]);
    await expect(forget(4)).rejects.toThrow(/ninety days/);
  });

  it("is made for every chain that has moved: the platform's own too", async () => {
    await record(1);
    await checkpoints.sign(PLATFORM_CHAIN);
    const due = async () => test.db.tenantsWith("unsigned_audit", new Date(clock.now()));
    expect(await due()).toContain(tenant);
    await checkpoints.sign(tenant);
    expect(await due()).not.toContain(tenant);
    expect(await due()).not.toContain(PLATFORM_CHAIN);
    expect(await checkpoints.verify(PLATFORM_CHAIN)).toMatchObject({ intact: true });
  });
});
