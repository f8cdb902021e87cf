import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyArchive } from "../../src/cli/tenant-archive.ts";
import { signingKeyId, validSigners } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTenantData } from "../../src/tenant-data/index.ts";
import { PASSWORD, startTestApi, type TestApi } from "../support/api.ts";
import { publishWithSbom } from "../support/api-release.ts";
import { ownerRows } from "../support/owner-rows.ts";

const MARK = "mark-of-globex";

let test: TestApi;
const now = Date.now();
let secrets: string[];

/** Something in every store, under a mark that is found again. */
async function furnish() {
  const { devices, logs, telemetry, tenancy } = test.modules;
  const body = { id: "their-hub", product: "hub", hardwareRevision: "a", tags: { mark: MARK } };
  await test.call("POST", "/tenants/globex/devices", { body });
  const peer = { tenantId: "globex", deviceId: body.id };
  await telemetry.ingestTelemetry(peer, { ts: now, seq: 1, values: { heat: 1 } }, now);
  await logs.ingestDeviceLogs(peer, [{ ts: now, seq: 1, level: "info", message: MARK }], now);
  const firmware = { version: "1.0.0", hash: "a".repeat(64), slot: "a" };
  const heartbeat = { ts: now, seq: 1, bootId: "b", uptimeSeconds: 1, firmware };
  await devices.recordHeartbeats([{ ...peer, heartbeat, receivedAt: now }]);
  await publishWithSbom(test, "globex");
  const webhook = { url: "https://example.com/" };
  const { body: made } = await test.call("POST", "/tenants/globex/webhooks", { body: webhook });
  const key = await test.keyOf("globex", "viewer");
  await tenancy.users.create(
    {
      ...{ email: "bob@globex.example", name: "Bob", password: PASSWORD },
      memberships: [{ tenantId: "globex", role: "viewer" }],
    },
    SYSTEM_ACTOR,
  );
  secrets = [key, made.secret, PASSWORD].filter(Boolean);
}

beforeAll(async () => {
  test = await startTestApi();
  await furnish();
});
afterAll(() => test.close());

describe("all that a tenant owns", () => {
  it("comes out as an archive that tar reads, whole, without another's and without secrets", async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-export-"));
    const file = path.join(folder, "globex.tar");
    const answer = await test.api.inject({
      ...{ method: "GET", url: "/api/v1/tenants/globex/export" },
      headers: { authorization: `Bearer ${test.globex}` },
    });
    expect(answer.statusCode).toBe(200);
    fs.writeFileSync(file, answer.rawPayload);
    const { files } = await verifyArchive(file);
    expect(files).toBeGreaterThan(10);
    execFileSync("tar", ["xf", file, "-C", folder]);
    const read = (name: string) => fs.readFileSync(path.join(folder, name), "utf8");
    expect(read("postgresql/devices-00001.jsonl")).toContain(MARK);
    expect(read("clickhouse/logs-00001.jsonl")).toContain(MARK);
    expect(read("clickhouse/telemetry-00001.jsonl")).toContain("heat");
    expect(fs.readdirSync(path.join(folder, "blobs")).length).toBeGreaterThan(1);
    const text = answer.rawPayload.toString("latin1");
    for (const secret of secrets) expect(text).not.toContain(secret);
    const hashes = await ownerRows<{ hash: string }>(
      test.superuserUrl,
      "select encode(key_hash, 'hex') as hash from api_keys where tenant_id = 'globex'",
    );
    for (const { hash } of hashes) expect(text).not.toContain(hash);
    expect(text).not.toContain('"tenant_id":"acme"');
    // Cut off, it is known as such.
    fs.truncateSync(file, Math.floor(answer.rawPayload.length / 2));
    await expect(verifyArchive(file)).rejects.toThrow(/not whole/);
    fs.rmSync(folder, { recursive: true });
    const refused = await test.call("GET", "/tenants/globex/export", { key: test.acme });
    expect(refused.status).toBe(404);
  });
});

describe("the end of a tenant", () => {
  const remove = (confirm: string, graceHours = 0) =>
    test.call("DELETE", `/tenants/globex?confirm=${confirm}&graceHours=${graceHours}`);

  it("needs its name, suspends it at once, and can be undone while the grace lasts", async () => {
    expect((await remove("acme")).status).toBe(422);
    const scheduled = await remove("globex", 24);
    expect(Date.parse(scheduled.body.deletesAt)).toBeGreaterThan(Date.now() + 23 * 3_600_000);
    expect((await test.call("GET", "/tenants/globex")).body.status).toBe("suspended");
    expect(await test.modules.tenantData.deleteDue()).toBe(0);
    expect((await test.call("POST", "/tenants/globex/restore")).status).toBe(204);
    expect((await test.call("GET", "/tenants/globex")).body.status).toBe("active");
    expect((await test.call("POST", "/tenants/globex/restore")).status).toBe(409);
  });

  it("does not begin where it is undone between being due and being written down", async () => {
    expect((await remove("globex")).status).toBe(200);
    await ownerRows(test.superuserUrl, "update tenants set deletes_at = now() where id = 'globex'");
    const { timeseries } = test.modules;
    const overtaken = createTenantData({
      ...test.modules,
      timeseries: {
        ...timeseries,
        async countTenant(id: string) {
          expect((await test.call("POST", "/tenants/globex/restore")).status).toBe(204);
          return timeseries.countTenant(id);
        },
      },
    });
    await overtaken.deleteDue();
    expect((await test.call("GET", "/tenants/globex")).body.status).toBe("active");
    expect((await test.call("GET", "/tenants/globex/devices/their-hub")).status).toBe(200);
  });

  it("leaves nothing in any store, and a signed receipt that says so", async () => {
    await test.call("POST", "/tenants/acme/groups", { body: { name: "ours", query: "" } });
    const others = await rowsOf("acme");
    const blobs = await hashes();
    expect((await remove("globex")).status).toBe(200);
    await ownerRows(test.superuserUrl, "update tenants set deletes_at = now() where id = 'globex'");
    // A process that dies when the tenant is gone and its receipt is not yet there.
    const { timeseries, tenantData } = test.modules;
    let deletions = 0;
    const dying = createTenantData({
      ...test.modules,
      timeseries: {
        ...timeseries,
        async deleteTenant(id: string) {
          deletions += 1;
          if (deletions > 1) throw new Error("killed");
          await timeseries.deleteTenant(id);
        },
      },
    });
    await expect(dying.deleteDue()).rejects.toThrow("killed");
    expect((await test.call("GET", "/api/v1/tenant-deletions/globex")).status).toBe(404);
    expect((await test.call("POST", "/tenants/globex/restore")).status).toBe(404);
    expect(await tenantData.deleteDue()).toBe(1);
    expect(await tenantData.deleteDue()).toBe(0);

    for (const [table, count] of Object.entries(await rowsOf("globex"))) {
      const isKept = ["audit_heads", "certificate_authorities"].includes(table);
      expect([table, isKept ? "kept" : count]).toEqual([table, isKept ? "kept" : 0]);
    }
    expect(await rowsOf("acme")).toEqual(others);
    // Wherever a text of the tenant's may stand, in tables that have no tenant too.
    const names = await ownerRows<{ name: string }>(
      test.superuserUrl,
      "select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'",
    );
    for (const { name } of names) {
      const rows = await ownerRows(
        test.superuserUrl,
        `select 1 from ${name} t where t::text like '%${MARK}%' or t::text like '%their-hub%'`,
      );
      expect([name, rows.length]).toEqual([name, 0]);
    }
    const counts = await test.modules.timeseries.countTenant("globex");
    expect(Object.values(counts).every((count) => count === 0)).toBe(true);
    expect(Object.keys(counts).length).toBeGreaterThan(5);
    for (const sha256 of blobs) expect(await test.modules.blobs.has(sha256)).toBe(false);
    const keys = await ownerRows(
      test.superuserUrl,
      "select from certificate_authorities where tenant_id = 'globex' and private_key_sealed is not null",
    );
    expect(keys).toEqual([]);
    expect((await test.call("GET", "/tenants/globex", { key: test.globex })).status).toBe(401);

    const { receipt, key } = (await test.call("GET", "/api/v1/tenant-deletions/globex")).body;
    expect(receipt.signed.removed.postgresql).toMatchObject({ devices: 1, memberships: 1 });
    expect(receipt.signed.removed.clickhouse).toMatchObject({ logs: 1 });
    expect(blobs.length).toBeGreaterThan(1);
    expect(receipt.signed.removed.blobs.count).toBe(blobs.length);
    for (const table of Object.keys(receipt.signed.left.postgresql)) {
      expect(Object.keys(receipt.signed.kept)).toContain(table);
    }
    expect(receipt.signed.left.clickhouse).toEqual({});
    const keyid = signingKeyId(key);
    const role = { keyids: [keyid], threshold: 1 };
    expect(validSigners(receipt, role, { [keyid]: key })).toEqual([keyid]);
    const forged = { ...receipt, signed: { ...receipt.signed, tenant: "acme" } };
    expect(validSigners(forged, role, { [keyid]: key })).toEqual([]);
    expect((await test.call("GET", "/api/v1/tenant-deletions/acme")).status).toBe(404);
    const log = (await test.call("GET", "/api/v1/audit?limit=5")).body.items;
    expect(log.map(({ action }: { action: string }) => action)).toContain("tenant.purge");
    // The journal of a gateway that starts again brings a row of the tenant that is gone.
    expect(await tenantData.sweepGone()).toBe(0);
    const late = { tenantId: "globex", deviceId: "their-hub", metric: "heat", ts: now, seq: 9 };
    await timeseries.insert("telemetry", [{ ...late, value: 1 }]);
    expect(await tenantData.sweepGone()).toBe(1);
    const left = Object.values(await timeseries.countTenant("globex"));
    expect(left.every((count) => count === 0)).toBe(true);
    const again = { body: { id: "globex", name: "again" } };
    expect((await test.call("POST", "/api/v1/tenants", again)).status).toBe(409);
  });

  it("removes the folder of one whose artifacts lie apart, once nobody moves them", async () => {
    const body = { id: "vault", name: "Vault", storageClass: "separate" };
    expect((await test.call("POST", "/api/v1/tenants", { body })).status).toBe(201);
    await publishWithSbom(test, "vault");
    const { blobs, tenantData, tenancy } = test.modules;
    const own = async () => {
      const found: string[] = [];
      for await (const { sha256 } of blobs.own("vault").list()) found.push(sha256);
      return found;
    };
    const before = await own();
    expect(before.length).toBeGreaterThan(1);
    await tenancy.tenants.beginMove("vault", "shared", SYSTEM_ACTOR);
    expect(await tenancy.tenants.progressMove("vault")).toBe(true);
    expect((await test.call("GET", "/tenants/vault/export")).body.code).toBe("conflict");
    const gone = await test.call("DELETE", "/tenants/vault?confirm=vault&graceHours=0");
    expect(gone.status).toBe(200);
    await ownerRows(test.superuserUrl, "update tenants set deletes_at = now() where id = 'vault'");
    await tenantData.deleteDue();
    expect(await own()).toEqual(before);
    expect(await tenancy.tenants.progressMove("vault")).toBe(false);
    await tenancy.tenants.restMove("vault");
    await tenantData.deleteDue();
    expect(await own()).toEqual([]);
    expect(await blobs.owners()).toEqual([]);
    const { receipt } = (await test.call("GET", "/api/v1/tenant-deletions/vault")).body;
    expect(receipt.signed.removed.blobs).toMatchObject({
      count: before.length,
      sharedWithOthers: 0,
    });
    expect(receipt.signed.left).toMatchObject({ clickhouse: {}, ownBlobs: 0 });
  });
});

async function rowsOf(tenant: string): Promise<Record<string, number>> {
  const tables = await ownerRows<{ name: string }>(
    test.superuserUrl,
    "select name from vautn.tenant_tables()",
  );
  expect(tables.length).toBeGreaterThan(50);
  const counts: Record<string, number> = {};
  for (const { name } of tables) {
    if (tenant === "acme" && ["audit_entries", "audit_heads", "tenant_usage"].includes(name))
      continue;
    const query = `select count(*)::int as total from ${name} where tenant_id = '${tenant}'`;
    counts[name] = (await ownerRows<{ total: number }>(test.superuserUrl, query))[0]?.total ?? 0;
  }
  return counts;
}

async function hashes(): Promise<string[]> {
  const rows = await ownerRows<{ sha256: string }>(
    test.superuserUrl,
    `select sha256 from artifacts where tenant_id = 'globex'
     union select sha256 from release_files where tenant_id = 'globex'`,
  );
  return rows.map(({ sha256 }) => sha256);
}
