import { sql } from "kysely";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

describe("tenant isolation in the database", () => {
  let test: TestDatabase;
  const now = new Date();

  beforeAll(async () => {
    test = await createTestDatabase();
    for (const id of ["acme", "globex"]) {
      await test.db.platform((tx) =>
        tx.insertInto("tenants").values({ id, name: id, created_at: now }).execute(),
      );
      await test.db.tenant(id, (tx) =>
        tx
          .insertInto("devices")
          .values({
            tenant_id: id,
            id: "d-1",
            product: "hub",
            hardware_revision: "a",
            created_at: now,
          })
          .execute(),
      );
    }
  });
  afterAll(() => test.close());

  it("shows a tenant its own rows only", async () => {
    const rows = await test.db.tenant("acme", (tx) =>
      tx.selectFrom("devices").selectAll().execute(),
    );
    expect(rows.map((row) => row.tenant_id)).toEqual(["acme"]);
  });

  it("refuses to write another tenant's row", async () => {
    const write = test.db.tenant("acme", (tx) =>
      tx
        .insertInto("devices")
        .values({
          tenant_id: "globex",
          id: "x",
          product: "hub",
          hardware_revision: "a",
          created_at: now,
        })
        .execute(),
    );
    await expect(write).rejects.toThrow(/row-level security/);
  });

  it("shows nothing of a tenant to a platform transaction", async () => {
    const rows = await test.db.platform((tx) => tx.selectFrom("devices").selectAll().execute());
    expect(rows).toEqual([]);
  });

  it("does not carry a tenant over to the next transaction on the same connection", async () => {
    await test.db.tenant("acme", async (tx) => tx.selectFrom("devices").selectAll().execute());
    const rows = await test.db.tenant("", (tx) => tx.selectFrom("devices").selectAll().execute());
    expect(rows).toEqual([]);
  });

  it("forces row-level security with a policy on every table, all owned by another role", async () => {
    const { rows } = await test.db.platform((tx) =>
      sql<{ relname: string; enabled: boolean; forced: boolean; policies: number; owner: string }>`
        select relname, relrowsecurity as enabled, relforcerowsecurity as forced,
               (select count(*) from pg_policy where polrelid = c.oid) as policies,
               pg_get_userbyid(relowner) as owner
        from pg_class c
        where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace
          and relname <> 'vautn_migrations'`.execute(tx),
    );
    expect(rows.length).toBeGreaterThan(20);
    for (const row of rows) {
      expect(row, row.relname).toMatchObject({ enabled: true, forced: true, owner: "vautn_owner" });
      expect(row.policies, row.relname).toBeGreaterThan(0);
    }
  });

  it("is planned for a tenant with many rows before anybody has counted them", async () => {
    const rows = Array.from({ length: 500 }, (_, index) => ({
      ...{ tenant_id: "acme", id: `new-${index}`, product: "hub", hardware_revision: "a" },
      created_at: now,
    }));
    const expected = await test.db.tenant("acme", async (tx) => {
      await tx.insertInto("devices").values(rows).execute();
      const { rows: plans } = await sql<{ "QUERY PLAN": [{ Plan: { "Plan Rows": number } }] }>`
        explain (format json) select id from devices`.execute(tx);
      return plans[0]?.["QUERY PLAN"][0].Plan["Plan Rows"];
    });
    // Of a column that it knows nothing of PostgreSQL expects one row in two hundred.
    expect(expected).toBeGreaterThan(100);
    const client = new pg.Client({ connectionString: test.superuserUrl });
    await client.connect();
    const { rows: without } = await client.query(`
      select c.relname from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relrowsecurity
        and not exists (select from pg_statistic where starelid = c.oid and staattnum = a.attnum)`);
    await client.end();
    expect(without).toEqual([]);
  });

  it("lets the application's role neither bypass policies nor change the schema", async () => {
    const { rows } = await test.db.platform((tx) =>
      sql<{ rolsuper: boolean; rolbypassrls: boolean }>`
        select rolsuper, rolbypassrls from pg_roles where rolname = current_user`.execute(tx),
    );
    expect(rows).toEqual([{ rolsuper: false, rolbypassrls: false }]);
    const alter = test.db.platform((tx) =>
      sql`alter table devices disable row level security`.execute(tx),
    );
    await expect(alter).rejects.toThrow(/must be owner/);
  });
});
