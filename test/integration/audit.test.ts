import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/kernel/index.ts";
import type { AuditCheckpoint } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

describe("the audit log", () => {
  let test: TestDatabase;
  let superuser: pg.Client;
  let tenancy: Tenancy;
  let tenant: string;
  let next = 0;

  beforeAll(async () => {
    test = await createTestDatabase();
    superuser = new pg.Client({ connectionString: test.superuserUrl });
    await superuser.connect();
    tenancy = createTenancy({ db: test.db, clock: new VirtualClock() });
  });
  afterAll(async () => {
    await superuser.end();
    await test.close();
  });
  beforeEach(async () => {
    tenant = `tenant-${next++}`;
    await tenancy.tenants.create({ id: tenant, name: tenant }, SYSTEM_ACTOR);
  });

  function record(id: string, details: Record<string, unknown> = {}) {
    return test.db.tenant(tenant, (tx) =>
      tenancy.audit.record(tx, tenant, {
        actor: { kind: "user", id: "u", name: "Ursula", address: "192.0.2.1" },
        action: "device.tag",
        targetKind: "device",
        targetId: id,
        outcome: "done",
        details,
      }),
    );
  }

  it("keeps one unbroken chain when many write at once", async () => {
    await Promise.all(Array.from({ length: 40 }, (_, index) => record(`d-${index}`)));
    expect(await tenancy.audit.verify(tenant)).toMatchObject({ entries: 41, intact: true });
  });

  it("stays intact with details of every kind of value", async () => {
    await record("d", {
      fraction: 0.1,
      huge: 1e300,
      negativeZero: -0,
      nothing: null,
      absent: undefined,
      date: new Date(0),
      list: [1, "two", { three: 3 }],
      "zero\0byte": "a\0b\r\nc",
      broken: "\ud800",
      unicode: "ü€😀",
      large: "x".repeat(100),
    });
    await record("line\r\nbreak", { text: "x".repeat(50_000) });
    expect(await tenancy.audit.verify(tenant)).toMatchObject({ entries: 3, intact: true });
    const { items } = await tenancy.audit.list(tenant);
    expect(items[0]).toMatchObject({
      targetId: "line  break",
      address: "192.0.2.1",
      details: { omitted: "too large" },
    });
    expect(items[1]?.details).toMatchObject({ fraction: "0.1", list: [1, "two", { three: 3 }] });
  });

  it("lists newest first, by page and by filter", async () => {
    for (let index = 0; index < 5; index += 1) await record(`d-${index % 2}`);
    const first = await tenancy.audit.list(tenant, { limit: 4 });
    const second = await tenancy.audit.list(tenant, {
      limit: 4,
      cursor: first.nextCursor as string,
    });
    const sequences = [...first.items, ...second.items].map((entry) => entry.seq);
    expect(sequences).toEqual([6, 5, 4, 3, 2, 1]);
    expect(second.nextCursor).toBeNull();
    const filtered = await tenancy.audit.list(tenant, { filters: { targetId: "d-1" } });
    expect(filtered.items.map((entry) => entry.seq)).toEqual([5, 3]);
    const wrong = tenancy.audit.list(tenant, { cursor: "1; drop table" });
    await expect(wrong).rejects.toMatchObject({ code: "invalid-cursor" });
  });

  it("rolls back with the transaction that it belongs to", async () => {
    const failing = test.db.tenant(tenant, async (tx) => {
      await tenancy.audit.record(tx, tenant, {
        actor: SYSTEM_ACTOR,
        action: "x.y",
        targetKind: "x",
        targetId: "x",
        outcome: "done",
      });
      throw new Error("the work failed");
    });
    await expect(failing).rejects.toThrow("the work failed");
    expect(await tenancy.audit.verify(tenant)).toMatchObject({ entries: 1, intact: true });
  });

  it("cannot be edited or deleted by the application's own role", async () => {
    const client = new pg.Client({ connectionString: test.appUrl });
    await client.connect();
    for (const statement of [
      "update audit_entries set action = 'nothing'",
      "delete from audit_entries",
      "delete from audit_heads",
      "truncate audit_entries",
    ]) {
      await expect(client.query(statement), statement).rejects.toThrow(/permission denied/);
    }
    await client.end();
  });

  const where = "where tenant_id = $1 and seq";
  it.each([
    ["an edited action", `update audit_entries set action = 'x' ${where} = 3`, 3, "altered"],
    ["edited details", `update audit_entries set details = '{"a": 2}' ${where} = 3`, 3, "altered"],
    [
      "an edited time",
      `update audit_entries set at = at - interval '1 h' ${where} = 2`,
      2,
      "altered",
    ],
    ["an entry taken out", `delete from audit_entries ${where} = 3`, 3, "missing"],
    ["entries cut from the end", `delete from audit_entries ${where} >= 4`, 4, "cut"],
    ["everything cut", `delete from audit_entries ${where} > 0`, 1, "cut"],
    [
      "two entries exchanged",
      `update audit_entries set seq = case seq when 2 then -3 else -2 end ${where} in (2, 3)`,
      2,
      "altered",
    ],
  ])("shows %s, made by a superuser", async (_, statement, firstBroken, reason) => {
    for (let index = 0; index < 4; index += 1) await record(`d-${index}`, { a: 1 });
    expect(await tenancy.audit.verify(tenant)).toMatchObject({ intact: true });
    await superuser.query(statement, [tenant]);
    await superuser.query("update audit_entries set seq = -seq where tenant_id = $1 and seq < 0", [
      tenant,
    ]);
    const verification = await tenancy.audit.verify(tenant);
    expect(verification).toMatchObject({ intact: false, firstBroken, reason });
  });

  it("shows an entry that was rewritten together with its own hash", async () => {
    for (let index = 0; index < 3; index += 1) await record(`d-${index}`);
    await superuser.query(
      `update audit_entries e set target_id = o.target_id, hash = o.hash, previous_hash = o.previous_hash
       from audit_entries o where e.tenant_id = $1 and o.tenant_id = $1 and e.seq = 3 and o.seq = 2`,
      [tenant],
    );
    expect(await tenancy.audit.verify(tenant)).toMatchObject({ intact: false, firstBroken: 3 });
  });

  it("that a superuser makes anew from the middle on does not lead through what was kept of it", async () => {
    for (let index = 0; index < 4; index += 1) await record(`d-${index}`);
    const { head: kept } = await tenancy.audit.verify(tenant);
    expect(kept).toEqual({ seq: 5, hash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    await superuser.query("delete from audit_entries where tenant_id = $1 and seq > 2", [tenant]);
    await superuser.query(
      `update audit_heads h set seq = e.seq, hash = e.hash from audit_entries e
       where h.tenant_id = $1 and e.tenant_id = $1 and e.seq = 2`,
      [tenant],
    );
    const cut = { intact: false, firstBroken: 3, reason: "cut" };
    expect(await tenancy.audit.verify(tenant, [kept as AuditCheckpoint])).toMatchObject(cut);
    for (let index = 0; index < 6; index += 1) await record(`other-${index}`);
    // By itself nothing is wrong with it.
    expect(await tenancy.audit.verify(tenant)).toMatchObject({ intact: true, entries: 8 });
    const anew = { intact: false, firstBroken: 5, reason: "checkpoint" };
    expect(await tenancy.audit.verify(tenant, [kept as AuditCheckpoint])).toMatchObject(anew);
    const { head } = await tenancy.audit.verify(tenant);
    await record("more");
    expect(await tenancy.audit.verify(tenant, [head as AuditCheckpoint])).toMatchObject({
      intact: true,
    });
  });

  it("keeps the chains of two tenants apart", async () => {
    await record("d");
    const other = await tenancy.audit.list("tenant-0");
    expect(other.items.every((entry) => entry.targetId !== "d")).toBe(true);
  });
});
