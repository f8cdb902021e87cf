import { once } from "node:events";
import net from "node:net";
import { sql } from "kysely";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Database } from "../../src/db/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { tenantRows } from "../support/tenant-rows.ts";
import { createTestTimeseries, type TestTimeseries } from "../support/timeseries.ts";

describe("the database, reached by someone who runs SQL as the application", () => {
  let test: TestDatabase;
  /** One connection only, so that each transaction follows the last one on it. */
  let db: Database;
  let intruder: pg.Client;
  beforeAll(async () => {
    test = await createTestDatabase();
    db = new Database({ url: test.appUrl, maxConnections: 1 });
    intruder = new pg.Client({ connectionString: test.appUrl });
    await intruder.connect();
    for (const id of ["acme", "globex"]) {
      await db.platform((tx) =>
        tx.insertInto("tenants").values({ id, name: id, created_at: new Date() }).execute(),
      );
      await insertDevice(id, `${id}-1`);
    }
  });
  afterAll(async () => {
    await intruder.end();
    await db.close();
    await test.close();
  });

  function insertDevice(tenant_id: string, id: string) {
    const row = { tenant_id, id, product: "hub", hardware_revision: "a", created_at: new Date() };
    return db.tenant(tenant_id, (tx) => tx.insertInto("devices").values(row).execute());
  }
  const devices = "select tenant_id, id from devices order by id";
  const seen = async (query = devices) => (await intruder.query(query)).rows;

  it("shows nothing and takes nothing without a tenant, in any table", async () => {
    const { rows } = await intruder.query<{ name: string }>(
      "select table_name as name from information_schema.columns where column_name = 'tenant_id'",
    );
    expect(rows.length).toBeGreaterThan(15);
    for (const { name } of rows) expect(await seen(`select * from ${name}`), name).toEqual([]);
    const before = await tenantRows(test.superuserUrl, "acme");
    await intruder.query("update devices set product = 'mine'");
    await intruder.query("delete from devices");
    const insert = `insert into devices (tenant_id, id, product, hardware_revision, created_at)
      values ('acme', 'x', 'x', 'x', now())`;
    await expect(intruder.query(insert)).rejects.toThrow(/row-level security/);
    expect(await tenantRows(test.superuserUrl, "acme")).toEqual(before);
    await intruder.query("begin; select set_config('vautn.tenant', 'acme', true)");
    expect(await seen()).toEqual([{ tenant_id: "acme", id: "acme-1" }]);
    await intruder.query("rollback");
  });

  it.each(["set role vautn_owner", "set session authorization postgres", "set role postgres"])(
    "does not let it become another role: %s",
    async (statement) => {
      await expect(intruder.query(statement)).rejects.toThrow(/permission denied/);
      expect(await seen("select current_user as name")).toEqual([{ name: "vautn_app" }]);
    },
  );

  it("has a password of its own, which opens nothing else", async () => {
    for (const user of ["vautn_owner", "postgres"]) {
      const url = new URL(test.appUrl);
      url.username = user;
      const client = new pg.Client({ connectionString: url.href });
      await expect(client.connect()).rejects.toThrow(/password authentication failed/);
    }
  });

  it.each([
    "alter table devices disable row level security",
    "alter table devices no force row level security",
    "drop policy tenant_rows on devices",
    "create policy mine on devices using (true)",
    "create function vautn.current_tenant() returns text language sql return 'acme'",
    "alter role vautn_app bypassrls",
    "grant vautn_owner to vautn_app",
    "create table mine (id int)",
    "copy devices to program 'id'",
    "select pg_read_file('/etc/passwd')",
  ])("does not let it: %s", async (statement) => {
    await expect(intruder.query(statement)).rejects.toThrow();
    expect(await seen()).toEqual([]);
  });

  it("leaves no tenant behind on a pooled connection, however its transaction ended", async () => {
    const endings: ((db: Database) => Promise<unknown>)[] = [
      (db) => db.tenant("acme", (tx) => sql`select 1 / 0`.execute(tx)),
      (db) => db.tenant("acme", () => Promise.reject(new Error("the work failed"))),
      (db) =>
        db.tenant("acme", (tx) =>
          sql`select set_config('vautn.tenant', 'acme', false), 1 / 0`.execute(tx),
        ),
      (db) =>
        db.tenant("acme", (tx) => sql`select pg_terminate_backend(pg_backend_pid())`.execute(tx)),
      (db) => db.tenant("acme", (tx) => sql`select count(*) from devices`.execute(tx)),
    ];
    for (const end of endings) {
      await end(db).catch(() => {});
      const read = (tenant: string) =>
        db.tenant(tenant, (tx) => tx.selectFrom("devices").select("id").execute());
      expect(await read("")).toEqual([]);
      expect(await read("globex")).toEqual([{ id: "globex-1" }]);
      expect(await db.platform((tx) => tx.selectFrom("devices").select("id").execute())).toEqual(
        [],
      );
    }
  });
});

describe("the embedded engine's own port, reached by another process on the machine", () => {
  let test: TestTimeseries;
  beforeAll(async () => {
    test = await createTestTimeseries();
  });
  afterAll(() => test.close());

  async function raw(text: string): Promise<string> {
    const socket = net.connect(Number(new URL(test.engine.url).port), "127.0.0.1");
    let received = "";
    socket.on("data", (chunk) => {
      received += chunk;
    });
    await once(socket, "connect");
    socket.end(text);
    await new Promise((resolve) => socket.once("close", resolve));
    return received;
  }
  const request = (target: string) =>
    raw(`GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);

  it.each([
    ["//", /^HTTP\/1.1 4/],
    ["/ping?query_id=%0d%0aset-cookie:a=b", /^HTTP\/1.1 200 [\s\S]*Ok/],
    ["/?query=select+1&query_id=%00", /^HTTP\/1.1 401/],
    ["/?query=select+1", /^HTTP\/1.1 401/],
    ["http://[/", /^HTTP\/1.1 4/],
  ])("is answered and brings nothing down: %s", async (target, answer) => {
    const { pid } = test.engine;
    const received = await request(target);
    expect(received).toMatch(answer);
    expect(received.toLowerCase()).not.toContain("set-cookie");
    await test.timeseries.ping();
    expect(test.engine.pid).toBe(pid);
  });
});
