import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { confined, confinementIn } from "../../src/kernel/confinement.ts";
import { CONFINABLE, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { publishWithSbom } from "../support/api-release.ts";
import { apiRoutes } from "../support/api-routes.ts";
import { ownerRows } from "../support/owner-rows.ts";

const OURS = ["berlin-1", "berlin-2"];
const THEIRS = "munich-1";
const HASH = "a".repeat(64);
const WAIT = { timeout: 20_000 };

let test: TestApi;
/** Confined to Berlin, with all that can be confined. */
let berlin: string;
let release: string;
/** A rollout and an order over the whole tenant. */
let wide: { rollout: string; batch: string; command: string };

const post = (path: string, body: object, key = berlin) =>
  test.call("POST", `/tenants/acme/${path}`, { key, body });
const get = (path: string, key = berlin) => test.call("GET", `/tenants/acme/${path}`, { key });
const idsOf = (answer: { body: { items: { id?: string; deviceId?: string }[] } }) =>
  answer.body.items.map(({ id, deviceId }) => deviceId ?? id).sort();

async function keyFor(role: string, groups: string[] | undefined, key = test.acme) {
  const answer = await post("keys", { name: "k", role, ...(groups ? { groups } : {}) }, key);
  expect(answer.status, JSON.stringify(answer.body)).toBe(201);
  return answer.body.key as string;
}

beforeAll(async () => {
  test = await startTestApi();
  const { devices, logs, telemetry, alerts } = test.modules;
  for (const id of [...OURS, THEIRS]) {
    const site = id.split("-")[0] as string;
    const device = { id, product: "hub", hardwareRevision: "a", tags: { site } };
    expect((await post("devices", device, test.acme)).status).toBe(201);
    const peer = { tenantId: "acme", deviceId: id };
    const now = Date.now();
    const firmware = { version: "1.0.0", hash: HASH, slot: "a" };
    const heartbeat = { ts: now, seq: 1, bootId: "b", uptimeSeconds: 1, firmware };
    await devices.recordHeartbeats([{ ...peer, heartbeat, receivedAt: now }]);
    await telemetry.ingestTelemetry(peer, { ts: now, seq: 1, values: { heat: 1 } }, now);
    await logs.ingestDeviceLogs(peer, [{ ts: now, seq: 1, level: "info", message: "up" }], now);
    await alerts.raise("acme", {
      ...{ key: `k ${id}`, kind: "anomaly", severity: "warning", title: `at ${id}` },
      ...{ subjectKind: "device", subjectId: id },
    });
  }
  for (const name of ["berlin", "munich"]) {
    await post("groups", { name, query: `tags.site = "${name}"` }, test.acme);
  }
  const role = { name: "site-operator", permissions: [...CONFINABLE, "devices.enroll"] };
  expect((await post("roles", role, test.acme)).status).toBe(201);
  berlin = await keyFor("site-operator", ["berlin"]);
  release = await publishWithSbom(test, "acme");
  const policy = { evaluateEverySeconds: 0.5 };
  const rollout = { name: "all", releaseId: release, query: "", policy };
  const order = { query: "", name: "ping", pace: { batchSize: 1, intervalSeconds: 600 } };
  const sent = await post("commands", order, test.acme);
  wide = {
    rollout: (await post("rollouts", rollout, test.acme)).body.id,
    batch: sent.body.batch.id,
    command: sent.body.items.find(({ deviceId }: { deviceId: string }) => deviceId === THEIRS).id,
  };
});
afterAll(() => test.close());

describe("somebody who is confined to a group", () => {
  it("sees its devices, and figures of them alone, in every list", async () => {
    expect(idsOf(await get("devices"))).toEqual(OURS);
    expect(idsOf(await get("devices", test.acme))).toEqual([...OURS, THEIRS]);
    expect((await get("fleet/summary")).body).toMatchObject({ total: 2, openAlerts: 2 });
    const health = (await get("fleet/health?by=tags.site")).body.items;
    expect(health).toMatchObject([{ key: "berlin", total: 2 }]);
    expect((await get("groups")).body.items).toMatchObject([{ name: "berlin" }]);
    expect(new Set(idsOf(await get("commands")))).toEqual(new Set(OURS));
    expect(idsOf(await get("logs"))).toEqual(OURS);
    // Lines that came in just now are held back for a moment.
    await expect.poll(async () => idsOf(await get("logs/tail?since=0")), WAIT).toEqual(OURS);
    const alerts = (await get("alerts")).body.items;
    expect(alerts.map(({ title }: { title: string }) => title).sort()).toEqual(
      OURS.map((id) => `at ${id}`),
    );
    // What was made for more than its group belongs to others.
    for (const list of ["rollouts", "command-batches"]) {
      expect((await get(list)).body.items).toEqual([]);
      expect((await get(list, test.acme)).body.items).toHaveLength(1);
    }
    expect((await get(`devices/${OURS[0]}/updates`)).body.items).toHaveLength(1);
  });

  const ids: Record<string, () => string> = {
    device: () => THEIRS,
    command: () => wide.command,
    batch: () => wide.batch,
    rollout: () => wide.rollout,
    group: () => "munich",
    seq: () => "1",
  };
  const within = apiRoutes().filter((route) =>
    (CONFINABLE as readonly string[]).includes(route.access),
  );

  it.each(within.map((route) => [route.operationId, route] as const))(
    "is told nothing by %s of what lies beyond it",
    async (_name, route) => {
      const given = Object.fromEntries(Object.entries(ids).map(([name, id]) => [name, id()]));
      const required = Object.fromEntries(route.required.map((name) => [name, "mine"]));
      const twins = { patchTwin: { desired: {} }, replaceTwin: { desired: {} } };
      const bodies: Record<string, object> = { updateDevice: { region: "x" }, ...twins };
      const reads = route.method === "GET";
      const before = reads ? undefined : await beyond();
      const query = QUERIES[route.operationId] ?? "";
      const answer = await test.call(route.method, route.url("acme", given) + query, {
        key: berlin,
        ...(route.body ? { body: bodies[route.operationId] ?? required } : {}),
      });
      expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(500);
      const isOfDevice = route.ids.some((id) => id !== "seq" && id in ids);
      // The figures of a device that it may not see are those of none.
      if (isOfDevice && !reads) expect([403, 404]).toContain(answer.status);
      if (isOfDevice && !EMPTY.includes(route.operationId)) {
        expect([403, 404]).toContain(answer.status);
      }
      const { detail, ...said } = answer.body ?? {};
      expect(JSON.stringify(said)).not.toMatch(/munich/);
      if (!reads) expect(await beyond()).toEqual(before);
    },
  );

  const ofDevices = [
    ...["telemetry/series?metric=heat&devices=", "telemetry/latest?metrics=heat&devices="],
    ...["telemetry/metrics?devices=", "telemetry/export?metrics=heat&devices="],
    ...["telemetry/texts?devices=", "telemetry/export?values=texts&devices="],
    ...["logs?device=", "logs/export?device=", "logs/context?ts=1&seq=1&device="],
    ...["commands?device=", "certificates?device=", "alerts?subject=", "devices?q=id%20%3D%20"],
    ...["fleet/health?by=product&q=id%20%3D%20", "logs?q=id%20%3D%20"],
  ];
  const ofGroups = [
    ...["telemetry/series?metric=heat&group=", "telemetry/texts?group="],
    ...["logs?group=", "logs/export?group="],
  ];
  it.each([
    ...ofDevices.map((path) => [path, THEIRS, "no-such-1"] as const),
    ...ofGroups.map((path) => [path, "munich", "nobody"] as const),
  ])("cannot tell by %s what lies beyond it from what there is not", async (path, id, nobody) => {
    const told = async (name: string) => {
      const { status, body } = await get(path + name);
      return JSON.stringify([status, body])
        .replaceAll(name, "ID")
        .replace(/"traceId":"[^"]*"/g, "")
        .replace(/\d{13}/g, "MOMENT")
        .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "MOMENT");
    };
    const answer = await told(id);
    expect(answer).toBe(await told(nobody));
    expect(answer).not.toMatch(/^\[5/);
  });

  it("reaches its devices alone in bulk", async () => {
    const before = await beyond();
    const mixed = await post("commands", { devices: [OURS[0], THEIRS], name: "ping" });
    expect([mixed.status, mixed.body.details.deviceIds]).toEqual([404, [THEIRS]]);
    const single = await post("commands", { devices: [THEIRS], name: "ping" });
    expect(single.status).toBe(404);
    for (const target of [{ query: "" }, { query: 'tags.site = "munich" or product = "hub"' }]) {
      const sent = await post("commands", { ...target, name: "ping" });
      expect(idsOf(sent)).toEqual(OURS);
      const steered = await post(`command-batches/${sent.body.batch.id}/cancel`, {});
      expect(steered.body.state).toBe("cancelled");
    }
    expect((await post("commands", { group: "munich", name: "ping" })).status).toBe(404);
    const twins = await post("twins", { query: "", desired: { a: 1 } });
    expect(twins.body).toMatchObject({ devices: 2 });
    expect((await post("twins", { devices: [THEIRS], desired: { a: 1 } })).status).toBe(404);
    const revoked = await post("certificates/revoke", { devices: [THEIRS], reason: "superseded" });
    expect(revoked.body).toMatchObject({ certificates: 0, unknownCount: 1 });
    for (const device of OURS) {
      const changed = { key: berlin, body: { tags: { site: "berlin", floor: "2" } } };
      const answer = await test.call("PATCH", `/tenants/acme/devices/${device}`, changed);
      expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    }
    expect(await beyond()).toEqual(before);
  });

  it("rolls out to its devices alone, also to those that come later", async () => {
    await post(`rollouts/${wide.rollout}/cancel`, {}, test.acme);
    await test.modules.rollouts.tick("acme");
    const before = await beyond();
    const spec = { name: "ours", releaseId: release, query: "", policy: { dynamic: true } };
    const plan = (await post("rollouts/plan", spec)).body;
    expect(plan.totalDevices).toBe(2);
    const listed = await post("rollouts/plan/devices?list=stages", { ...spec });
    expect(JSON.stringify(listed.body)).not.toMatch(/munich/);
    const made = (await post("rollouts", spec)).body;
    expect(made.query).toBe('(tags.site = "berlin")');
    for (const [id, site] of [
      ["late-1", "munich"],
      ["late-2", "berlin"],
    ] as const) {
      const device = { id, product: "hub", hardwareRevision: "a", tags: { site } };
      await post("devices", device, test.acme);
    }
    await test.modules.rollouts.tick("acme");
    const members = await get(`rollouts/${made.id}/devices`, test.acme);
    expect(idsOf(members)).not.toContain("late-1");
    expect(idsOf(members)).toEqual(expect.arrayContaining(OURS));
    for (const [action, status] of [
      ["pause", 200],
      ["cancel", 200],
      ["cancel", 409],
    ] as const) {
      const steered = await post(`rollouts/${made.id}/${action}`, { reason: "ours" });
      expect([action, steered.status]).toEqual([action, status]);
    }
    const other = await keyFor("site-operator", ["munich"]);
    expect((await get(`rollouts/${made.id}`, other)).status).toBe(404);
    const both = await keyFor("site-operator", ["berlin", "munich"]);
    expect((await get(`rollouts/${made.id}`, both)).status).toBe(200);
    expect(await beyond()).toEqual(before);
  });

  it("cannot touch what concerns the whole tenant, whatever its role permits", async () => {
    const enrol = { id: "x", product: "hub", hardwareRevision: "a" };
    const refused = await post("devices", enrol);
    expect(refused.status).toBe(403);
    expect(refused.body.detail).toContain("does not include devices.enroll");
    for (const [path, body] of [
      ["groups", { name: "berlin-2", query: "" }],
      ["updates/stop", { reason: "x" }],
    ] as const) {
      const answer = await post(path, body);
      expect([path, answer.status]).toEqual([path, 403]);
    }
    const administrator = await keyFor("administrator", ["berlin"]);
    for (const path of ["users", "audit", "keys", "roles"]) {
      const { status } = await get(path, administrator);
      expect([path, status]).toEqual([path, 403]);
    }
    expect((await post("keys", { name: "x", role: "viewer" }, administrator)).status).toBe(403);
  });

  it("keeps its group while somebody is confined to it, and sees nothing once it is empty", async () => {
    const remove = (name: string) =>
      test.call("DELETE", `/tenants/acme/groups/${name}`, { key: test.acme });
    expect((await remove("berlin")).status).toBe(409);
    await post("groups", { name: "nobody", query: 'id = "nothing"' }, test.acme);
    const lost = await keyFor("site-operator", ["nobody"]);
    expect((await get("devices", lost)).body.items).toEqual([]);
    expect((await get("logs", lost)).body.items).toEqual([]);
    const spec = { name: "x", releaseId: release, query: "" };
    expect((await post("rollouts/plan", spec, lost)).status).toBe(403);
  });

  it("confines nobody who hears of what it did, and never reaches another tenant", async () => {
    const { bus } = test.modules;
    const here = { tenantId: "acme", groups: ["berlin"], query: "", deviceIds: OURS };
    const seen: unknown[] = [];
    const done = Promise.withResolvers<void>();
    const stop = bus.subscribe("fleet.acme", () => {
      seen.push(confinementIn("acme"));
      done.resolve();
    });
    await confined(here, async () => bus.publish("fleet.acme", { deviceId: "x" }));
    await done.promise;
    stop();
    expect(seen).toEqual([undefined]);
    const other = () => test.modules.devices.list("globex");
    expect(() => confined(here, other)).toThrow(/reached for another/);
  });
});

describe("roles of the tenant's own", () => {
  it("permit what they name, and change at once for whoever has them", async () => {
    const role = { name: "support", description: "looks", permissions: ["devices.read"] };
    expect((await post("roles", role, test.acme)).status).toBe(201);
    expect((await post("roles", role, test.acme)).body.code).toBe("already-exists");
    const key = await keyFor("support", undefined);
    expect((await get("devices", key)).status).toBe(200);
    expect((await get("logs", key)).status).toBe(403);
    const replaced = await test.call("PUT", "/tenants/acme/roles/support", {
      ...{ key: test.acme, body: { permissions: ["logs.read"] } },
    });
    expect(replaced.body).toMatchObject({ permissions: ["logs.read"], keys: 1, members: 0 });
    expect((await get("logs", key)).status).toBe(200);
    expect((await get("devices", key)).status).toBe(403);
    const gone = { key: test.acme };
    expect((await test.call("DELETE", "/tenants/acme/roles/support", gone)).status).toBe(409);
  });

  it("are refused where they are none, or the built-in ones", async () => {
    for (const [body, status] of [
      [{ name: "viewer", permissions: ["audit.read"] }, 409],
      [{ name: "Bad Name", permissions: ["audit.read"] }, 400],
      [{ name: "x", permissions: [] }, 400],
      [{ name: "x", permissions: ["everything"] }, 400],
    ] as const) {
      expect((await post("roles", body, test.acme)).status).toBe(status);
    }
    for (const body of [
      { name: "k", role: "nobody" },
      { name: "k", role: "viewer", groups: ["nowhere"] },
    ]) {
      expect((await post("keys", body, test.acme)).status).toBe(422);
    }
  });

  it("are never a way to more than the giver has", async () => {
    const few = ["tenancy.read", "tenancy.manage", "devices.read"];
    await post("roles", { name: "people", permissions: few }, test.acme);
    const key = await keyFor("people", undefined);
    const more = { name: "more", permissions: ["devices.read", "rollouts.control"] };
    expect((await post("roles", more, key)).status).toBe(403);
    expect((await post("keys", { name: "x", role: "operator" }, key)).status).toBe(403);
    const own = { key, body: { permissions: [...few, "audit.read"] } };
    expect((await test.call("PUT", "/tenants/acme/roles/people", own)).status).toBe(403);
    const user = { email: "eve@example.com", name: "Eve" };
    await test.modules.tenancy.users.create(user, SYSTEM_ACTOR);
    const member = { email: user.email, role: "site-operator", groups: ["berlin"] };
    const set = (body: object, by: string) =>
      test.call("PUT", "/tenants/acme/users", { key: by, body });
    expect((await set(member, key)).status).toBe(403);
    const answer = await set(member, test.acme);
    const made = answer.body.items.find(({ email }: { email: string }) => email === user.email);
    expect(made.memberships).toEqual([
      { tenantId: "acme", role: "site-operator", groups: ["berlin"] },
    ]);
    expect((await post("roles", { name: "less", permissions: ["devices.read"] }, key)).status).toBe(
      201,
    );
  });
});

describe("the tables", () => {
  it("are open to the confined by their devices, and the rest by name", async () => {
    const tables = await ownerRows<{ name: string; condition: string | null; device: boolean }>(
      test.superuserUrl,
      `select c.relname as name, pg_get_expr(p.polqual, p.polrelid) as condition,
              exists (select from pg_attribute a where a.attrelid = c.oid
                      and a.attname = 'device_id') as device
       from pg_class c left join pg_policy p on p.polrelid = c.oid and p.polname = 'confined_rows'
       where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
         and has_table_privilege('vautn_confined', c.oid, 'select, update, insert, delete')`,
    );
    expect(tables.length).toBeGreaterThan(20);
    const open: string[] = [];
    for (const { name, condition, device } of tables) {
      if (name === "audit_entries") expect(condition).toBeNull();
      else expect(condition, name).toContain("current_tenant()");
      if (device) expect(condition, name).toContain("confined_devices()");
      else if (!/confined_|(rollouts|alerts)\.id/.test(condition ?? "")) open.push(name);
    }
    expect(open.sort()).toEqual(OPEN);
  });
});

/** Nobody's devices in particular. */
const OPEN = [
  "artifacts",
  "audit_entries",
  "audit_heads",
  "deltas",
  "idempotency_keys",
  "presence_rules",
  "product_metadata",
  "release_components",
  "release_files",
  "releases",
  "rollout_stops",
  "tenants",
  "trust_roots",
];
const QUERIES: Record<string, string> = {
  getSeries: "?metric=heat",
  getFleetHealth: "?by=product",
  tailLogs: "?since=0",
};
/** Answered with an empty list, as for a device that there is none of. */
const EMPTY = ["listDeviceUpdates", "getSeries", "listMetrics", "listDeviceEvents"];

/** Every row that names the device beyond the group. */
async function beyond(): Promise<unknown> {
  const names = ["devices", "device_states", "twins", "commands", "quarantines", "rollout_devices"];
  const parts = names.map((name) => {
    const id = name === "devices" ? "id" : "device_id";
    return `select '${name}' as name, to_jsonb(t) as row from ${name} t where ${id} = '${THEIRS}'`;
  });
  return ownerRows(test.superuserUrl, `${parts.join(" union all ")} order by 1, 2`);
}
