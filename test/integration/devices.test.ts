import fc from "fast-check";
import { sql } from "kysely";
import pg from "pg";
import semver from "semver";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { LocalBus, subjects } from "../../src/bus/index.ts";
import type { QueryNode } from "../../src/devices/fleet-query-parser.ts";
import { parseFleetQuery } from "../../src/devices/fleet-query-parser.ts";
import { compileFleetQuery, createDevices, type Devices } from "../../src/devices/index.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import type { Heartbeat } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const HASH = (digit: string) => digit.repeat(64);

let test: TestDatabase;
let clock: VirtualClock;
let bus: LocalBus;
let tenancy: Tenancy;
let devices: Devices;
let tenants = 0;
let tenant: string;

beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.close());
beforeEach(async () => {
  clock = new VirtualClock(Date.UTC(2026, 5, 1));
  bus = new LocalBus();
  tenancy = createTenancy({ db: test.db, clock });
  devices = createDevices({ db: test.db, clock, bus, tenancy });
  tenant = `tenant-${tenants++}`;
  await tenancy.tenants.create({ id: tenant, name: tenant }, SYSTEM_ACTOR);
});

function register(id: string, extra: Partial<Parameters<Devices["register"]>[2]> = {}) {
  return devices.register(null, tenant, { id, product: "hub", hardwareRevision: "a", ...extra });
}

function beat(deviceId: string, overrides: Partial<Heartbeat> = {}) {
  const heartbeat: Heartbeat = {
    ts: clock.now(),
    seq: 1,
    bootId: "boot-1",
    uptimeSeconds: 10,
    firmware: { version: "1.0.0", hash: HASH("a"), slot: "a" },
    ...overrides,
  };
  return { tenantId: tenant, deviceId, heartbeat, receivedAt: clock.now() };
}

const ids = (page: { items: { id: string }[] }) => page.items.map((item) => item.id);

describe("the registry", () => {
  it("keeps a device with its tags and knows nothing of its state at first", async () => {
    await register("d-1", { region: "eu", tags: { site: "berlin" } });
    expect(await devices.get(tenant, "d-1")).toMatchObject({
      id: "d-1",
      region: "eu",
      tags: { site: "berlin" },
      presence: "never",
      connected: false,
      firmware: null,
      status: "active",
    });
  });

  it("refuses a second device of the same name, a bad name and one too many", async () => {
    await register("d-1");
    await expect(register("d-1")).rejects.toMatchObject({ code: "already-exists" });
    await expect(register("../x")).rejects.toMatchObject({ code: "invalid-request" });
    await tenancy.tenants.updateSettings(tenant, { maxDevices: 1 }, SYSTEM_ACTOR);
    const fresh = createTenancy({ db: test.db, clock });
    const limited = createDevices({ db: test.db, clock, bus, tenancy: fresh });
    await expect(
      limited.register(null, tenant, { id: "d-2", product: "hub", hardwareRevision: "a" }),
    ).rejects.toMatchObject({ code: "quota-exceeded" });
  });

  it("changes tags, records who did, and removes a device with all that is its own", async () => {
    await register("d-1");
    await devices.recordHeartbeats([beat("d-1")]);
    await devices.update(tenant, "d-1", { tags: { a: "b" }, region: "us" }, SYSTEM_ACTOR);
    expect(await devices.get(tenant, "d-1")).toMatchObject({ tags: { a: "b" }, region: "us" });
    await devices.remove(tenant, "d-1", SYSTEM_ACTOR);
    await expect(devices.get(tenant, "d-1")).rejects.toMatchObject({ code: "not-found" });
    const { items } = await tenancy.audit.list(tenant);
    expect(items.map((entry) => entry.action)).toEqual(
      expect.arrayContaining(["device.update", "device.remove"]),
    );
  });

  it("does not find another tenant's device", async () => {
    await register("d-1");
    const other = `${tenant}-other`;
    await tenancy.tenants.create({ id: other, name: other }, SYSTEM_ACTOR);
    await expect(devices.get(other, "d-1")).rejects.toMatchObject({ code: "not-found" });
    await expect(devices.update(other, "d-1", { region: "x" }, SYSTEM_ACTOR)).rejects.toMatchObject(
      { code: "not-found" },
    );
    expect(ids(await devices.list(other))).toEqual([]);
  });

  it.each([
    "id",
    "-id",
    "lastSeen",
    "-lastSeen",
    "firmware.version",
    "-firmware.version",
    "presence",
  ])("pages through the fleet sorted by %s without a gap or a repetition", async (sort) => {
    for (let index = 0; index < 7; index += 1) await register(`d-${index}`);
    await devices.recordHeartbeats(
      [1, 2, 4].map((index) =>
        beat(`d-${index}`, {
          firmware: { version: `1.${10 - index}.0`, hash: HASH("b"), slot: "a" },
        }),
      ),
    );
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await devices.list(tenant, { sort, limit: 2, ...(cursor && { cursor }) });
      seen.push(...ids(page));
      cursor = page.nextCursor ?? undefined;
    } while (cursor);
    const whole = ids(await devices.list(tenant, { sort }));
    expect(seen).toEqual(whole);
    expect(new Set(seen).size).toBe(7);
  });

  it("refuses a sort key and a cursor that are not its own", async () => {
    await expect(devices.list(tenant, { sort: "id; drop table devices" })).rejects.toMatchObject({
      code: "invalid-request",
    });
    for (const cursor of [
      "x",
      "WyJpZCIsMSwyXQ",
      Buffer.from('["lastSeen","x","d"]').toString("base64url"),
    ]) {
      await expect(devices.list(tenant, { sort: "lastSeen", cursor })).rejects.toMatchObject({
        code: "invalid-cursor",
      });
    }
  });
});

describe("heartbeats", () => {
  it("bring a device online with what it runs, and tell the fleet once", async () => {
    await register("d-1");
    const news: unknown[] = [];
    bus.subscribe(subjects.fleet(tenant), (message) => news.push(message));
    await devices.recordHeartbeats([
      beat("d-1", {
        otherSlot: { version: "0.9.0", hash: HASH("b") },
        formats: ["full", "zstd-patch"],
      }),
    ]);
    await devices.recordHeartbeats([beat("d-1", { seq: 2, uptimeSeconds: 70 })]);
    expect(await devices.get(tenant, "d-1")).toMatchObject({
      presence: "online",
      firmware: { version: "1.0.0", sha256: HASH("a"), slot: "a" },
      formats: ["full", "zstd-patch"],
      otherSlot: null,
      uptimeSeconds: 70,
    });
    await new Promise(setImmediate);
    expect(news).toEqual([{ deviceId: "d-1", presence: "online" }]);
  });

  it("tell how far a device's clock is from ours: near right it is followed, far off it is held", async () => {
    await register("d-1");
    const offset = async () => (await devices.get(tenant, "d-1")).clockOffsetMs;
    expect(await offset()).toBeNull();
    let seq = 10;
    const at = async (behindMs: number) => {
      const record = beat("d-1", { seq: seq++ });
      const ts = record.receivedAt - behindMs;
      await devices.recordHeartbeats([{ ...record, heartbeat: { ...record.heartbeat, ts } }]);
      return offset();
    };
    expect(await at(1_000)).toBe(1_000);
    expect(await at(3_000)).toBe(1_500);
    const year = 365 * 86_400_000;
    expect(await at(year)).toBe(year);
    expect(await at(year + 20_000)).toBe(year);
    expect(await at(year + 40_000)).toBe(year + 40_000);
    expect(await at(-600_000)).toBe(-600_000);
  });

  it("ignore what is older than the state of the same boot, and accept a new boot", async () => {
    await register("d-1");
    await devices.recordHeartbeats([beat("d-1", { seq: 9, uptimeSeconds: 900 })]);
    await devices.recordHeartbeats([beat("d-1", { seq: 8, uptimeSeconds: 800 })]);
    expect(await devices.get(tenant, "d-1")).toMatchObject({ uptimeSeconds: 900 });
    await devices.recordHeartbeats([beat("d-1", { seq: 0, bootId: "boot-2", uptimeSeconds: 1 })]);
    expect(await devices.get(tenant, "d-1")).toMatchObject({ uptimeSeconds: 1, bootId: "boot-2" });
  });

  it("of one device that make no sense to the database do not harm the others", async () => {
    await register("d-1");
    await register("d-2");
    await devices.recordHeartbeats([
      beat("d-1", {
        bootId: "\0\ud800",
        seq: 2 ** 60,
        uptimeSeconds: 1e300,
        metrics: { "\0": 1 },
        formats: ["a,b\0"],
        firmware: { version: "x\0", hash: HASH("a"), slot: "\0" },
        otherSlot: { version: "y".repeat(10_000), hash: "no hash" },
      }),
      beat("d-2"),
      beat("gone"),
    ]);
    expect((await devices.get(tenant, "d-2")).presence).toBe("online");
    expect((await devices.get(tenant, "d-1")).presence).toBe("online");
  });

  it("are written in one statement for a whole batch", async () => {
    for (let index = 0; index < 50; index += 1) await register(`d-${index}`);
    await devices.recordHeartbeats(Array.from({ length: 50 }, (_, index) => beat(`d-${index}`)));
    expect(ids(await devices.list(tenant, { query: "online" }))).toHaveLength(50);
  });
});

describe("presence", () => {
  it("goes from online by late to offline, and back with the next heartbeat", async () => {
    await register("d-1");
    await devices.recordHeartbeats([beat("d-1")]);
    expect((await devices.expirePresence(tenant, clock.now() + 89_000)).changes).toEqual([]);
    expect((await devices.expirePresence(tenant, clock.now() + 91_000)).changes).toMatchObject([
      { deviceId: "d-1", previous: "online", presence: "late", status: "active" },
    ]);
    expect((await devices.expirePresence(tenant, clock.now() + 91_000)).changes).toEqual([]);
    expect((await devices.expirePresence(tenant, clock.now() + 181_000)).changes).toMatchObject([
      { previous: "late", presence: "offline" },
    ]);
    expect(await test.db.tenantsWith("due_presence", new Date(clock.now() + 1e9))).not.toContain(
      tenant,
    );
    await devices.recordHeartbeats([beat("d-1", { seq: 2 })]);
    expect((await devices.get(tenant, "d-1")).presence).toBe("online");
  });

  it("alarms for nobody when the platform comes back after a long stop", async () => {
    await register("d-1");
    await devices.recordHeartbeats([beat("d-1")]);
    await clock.advance(3_600_000);
    await devices.extendPresenceDeadlines(clock.now());
    expect((await devices.expirePresence(tenant, clock.now() + 80_000)).changes).toEqual([]);
    expect((await devices.expirePresence(tenant, clock.now() + 91_000)).changes).toMatchObject([
      { presence: "offline" },
    ]);
  });

  it("reads what is due by its index", async () => {
    await test.db.tenant(tenant, async (tx) => {
      await sql`
        insert into devices (tenant_id, id, product, hardware_revision, created_at)
        select ${tenant}, 'd-' || n, 'hub', 'a', now() from generate_series(1, 5000) n`.execute(tx);
      await sql`
        update device_states set presence = 'online',
          presence_deadline_at = now() + make_interval(secs => right(device_id, 2)::int + 60)
        where device_id ~ '[0-9]{2}$'`.execute(tx);
    });
    const owner = new pg.Client({ connectionString: test.ownerUrl });
    await owner.connect();
    await owner.query("analyze device_states");
    await owner.end();
    const plan = await test.db.tenant(tenant, async (tx) => {
      const { rows } = await sql<Record<string, string>>`
        explain select device_id from device_states
        where presence_deadline_at <= now() order by presence_deadline_at limit 10`.execute(tx);
      return rows.map((row) => Object.values(row)[0]).join("\n");
    });
    expect(plan).toMatch(/device_states_due/);
  });
});

describe("connections", () => {
  const peer = (deviceId: string) => ({ tenantId: tenant, deviceId });

  it("are known while they last, and the end of an old one does not end the new one", async () => {
    await register("d-1");
    await devices.connected(peer("d-1"), { gatewayId: "g-1", connectionId: "c-1" });
    expect(await devices.get(tenant, "d-1")).toMatchObject({ connected: true, presence: "online" });
    await devices.connected(peer("d-1"), { gatewayId: "g-2", connectionId: "c-2" });
    await devices.disconnected(peer("d-1"), { connectionId: "c-1", reason: "taken over" });
    expect(await devices.get(tenant, "d-1")).toMatchObject({ connected: true });
    await devices.disconnected(peer("d-1"), { connectionId: "c-2", reason: "closed" });
    expect(await devices.get(tenant, "d-1")).toMatchObject({ connected: false });
  });

  it("of a gateway that died are released when it starts again, with time to come back", async () => {
    await register("d-1");
    await devices.connected(peer("d-1"), { gatewayId: "g-1", connectionId: "c-1" });
    await clock.advance(3_600_000);
    await devices.gatewayStarted("g-other");
    expect(await devices.get(tenant, "d-1")).toMatchObject({ connected: true });
    await devices.gatewayStarted("g-1");
    expect(await devices.get(tenant, "d-1")).toMatchObject({ connected: false });
    expect((await devices.expirePresence(tenant, clock.now() + 1_000)).changes).toEqual([]);
  });
});

describe("incidents", () => {
  const crash = (deviceId: string, key: string, occurredAt = clock.now()) => ({
    tenantId: tenant,
    deviceId,
    kind: "crash" as const,
    key,
    occurredAt,
    firmwareSha256: HASH("a"),
    details: { message: "null\0pointer" },
  });

  it("count once however often they are delivered", async () => {
    await register("d-1");
    const first = await devices.recordIncidents([
      crash("d-1", "1"),
      crash("d-1", "1"),
      crash("d-1", "2"),
    ]);
    expect(first.map((incident) => incident.key)).toEqual(["1", "2"]);
    const second = await devices.recordIncidents([crash("d-1", "2"), crash("d-1", "3")]);
    expect(second.map((incident) => incident.key)).toEqual(["3"]);
    expect(await devices.recordIncidents([crash("gone", "1")])).toEqual([]);
    expect(await devices.fleetHealth(tenant, "firmware")).toMatchObject([{ crashes24h: 3 }]);
  });

  it("of a device without a clock are dated by ours", async () => {
    await register("d-1");
    const [dated] = await devices.recordIncidents([crash("d-1", "1", 0)]);
    expect(dated?.occurredAt).toBe(clock.now());
  });
});

describe("the health of the fleet", () => {
  it("is counted by firmware, by tag and within a query", async () => {
    await register("d-1", { tags: { site: "a" } });
    await register("d-2", { tags: { site: "a" } });
    await register("d-3", { tags: { site: "b" } });
    await devices.recordHeartbeats([beat("d-1"), beat("d-3")]);
    expect(await devices.fleetHealth(tenant, "tags.site")).toMatchObject([
      { key: "a", total: 2, online: 1, late: 0, offline: 0, never: 1, crashes24h: 0 },
      { key: "b", total: 1, online: 1, late: 0, offline: 0, never: 0, crashes24h: 0 },
    ]);
    expect(await devices.fleetHealth(tenant, "firmware", "online")).toMatchObject([
      { key: "1.0.0", total: 2 },
    ]);
    await expect(devices.fleetHealth(tenant, "id" as never)).rejects.toMatchObject({
      code: "invalid-request",
    });
  });
});

describe("groups", () => {
  it("are saved queries with a name, checked when they are saved", async () => {
    await devices.groups.create(
      tenant,
      { name: "berlin", query: "tags.site = berlin" },
      SYSTEM_ACTOR,
    );
    await expect(
      devices.groups.create(tenant, { name: "bad", query: "tags.site =" }, SYSTEM_ACTOR),
    ).rejects.toMatchObject({ code: "invalid-query" });
    await expect(
      devices.groups.create(tenant, { name: "berlin", query: "" }, SYSTEM_ACTOR),
    ).rejects.toMatchObject({ code: "already-exists" });
    expect(await devices.groups.list(tenant)).toMatchObject([
      { name: "berlin", query: "tags.site = berlin" },
    ]);
    await devices.groups.delete(tenant, "berlin", SYSTEM_ACTOR);
    expect(await devices.groups.list(tenant)).toEqual([]);
  });
});

/** The meaning of a query, said again without a database. */
function meaning(node: QueryNode, device: Record<string, string | undefined>): boolean {
  if (node.kind === "not") return !meaning(node.term, device);
  if (node.kind !== "compare") {
    const holds = (term: QueryNode) => meaning(term, device);
    return node.kind === "and" ? node.terms.every(holds) : node.terms.some(holds);
  }
  const value = device[node.field];
  const wanted = node.values[0] as string;
  switch (node.operator) {
    case "=":
      return value === wanted;
    case "!=":
      return value !== wanted;
    case "in":
      return value !== undefined && node.values.includes(value);
    case "~": {
      const pattern = wanted
        .replace(/[.+^${}()|[\]\\]/g, "\\$&")
        .replaceAll("*", ".*")
        .replaceAll("?", ".");
      return value !== undefined && new RegExp(`^${pattern}$`, "s").test(value);
    }
    default: {
      if (value === undefined || !semver.valid(value)) return false;
      const order = semver.compare(value, wanted);
      if (node.operator.startsWith("<"))
        return order < 0 || (node.operator === "<=" && order === 0);
      return order > 0 || (node.operator === ">=" && order === 0);
    }
  }
}

describe("the fleet query in the database", () => {
  const quoted = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
  const versions = ["1.0.0", "1.0.0-rc.1", "1.9.0", "1.10.0", "2.0.0+b", "nightly"];
  const sites = ["berlin", "50%_off", String.raw`back\slash`, "it's", '"q"'];
  const fleet = Array.from({ length: 24 }, (_, index) => ({
    id: `d-${String(index).padStart(2, "0")}`,
    region: ["eu", "us", ""][index % 3] as string,
    site: index % 4 === 3 ? undefined : sites[index % sites.length],
    version: index % 5 === 4 ? undefined : versions[index % versions.length],
  }));

  const comparison = fc.oneof(
    fc
      .tuple(fc.constantFrom("=", "!=", "~"), fc.constantFrom(...sites, "b*", "*%*", "?t's", "*"))
      .map(([operator, value]) => `tags.site ${operator} ${quoted(value)}`),
    fc
      .tuple(fc.constantFrom("<", "<=", ">", ">="), fc.constantFrom(...versions.slice(0, 5)))
      .map(([operator, value]) => `firmware.version ${operator} ${value}`),
    fc.constantFrom(...versions).map((value) => `firmware.version = ${value}`),
    fc
      .subarray(["eu", "us", "asia"], { minLength: 1 })
      .map((list) => `region in (${list.join(", ")})`),
    fc
      .subarray(sites, { minLength: 1 })
      .map((list) => `tags.site not in (${list.map(quoted).join(",")})`),
    fc.constantFrom("online", "not online", "online = false", "presence = never"),
  );
  const { query } = fc.letrec<{ query: string }>((tie) => ({
    query: fc.oneof(
      { maxDepth: 4 },
      comparison,
      fc.tuple(tie("query"), tie("query")).map(([a, b]) => `(${a} and ${b})`),
      fc.tuple(tie("query"), tie("query")).map(([a, b]) => `(${a} or ${b})`),
      tie("query").map((inner) => `not (${inner})`),
    ),
  }));

  beforeEach(async () => {
    for (const { id, region, site } of fleet) {
      await register(id, { region, tags: site === undefined ? {} : { site } });
    }
    await devices.recordHeartbeats(
      fleet.flatMap(({ id, version }) =>
        version ? [beat(id, { firmware: { version, hash: HASH("a"), slot: "a" } })] : [],
      ),
    );
  });

  it("finds exactly the devices that it means", async () => {
    await fc.assert(
      fc.asyncProperty(query, async (text) => {
        const compiled = compileFleetQuery(text);
        const found = await test.db.tenant(tenant, (tx) => devices.matching(tx, tenant, compiled));
        const root = parseFleetQuery(text) as QueryNode;
        const meant = fleet.filter(({ id, region, site, version }) =>
          meaning(root, {
            id,
            region,
            "tags.site": site,
            "firmware.version": version,
            online: String(version !== undefined),
            presence: version === undefined ? "never" : "online",
          }),
        );
        expect(found.map((device) => device.id)).toEqual(meant.map((device) => device.id));
      }),
      { numRuns: 200 },
    );
  });

  it("takes whatever a value holds for a value", async () => {
    const hostile = `x' or 1=1; drop table devices; --`;
    expect(ids(await devices.list(tenant, { query: `tags.site = ${quoted(hostile)}` }))).toEqual(
      [],
    );
    expect(ids(await devices.list(tenant, { query: `id ~ ${quoted(`${hostile}*`)}` }))).toEqual([]);
    expect(ids(await devices.list(tenant))).toHaveLength(24);
  });

  it("compares the time of the last word with a time or an age", async () => {
    await clock.advance(120_000);
    await devices.recordHeartbeats([beat("d-00", { seq: 2 })]);
    expect(ids(await devices.list(tenant, { query: "lastSeen > -1m" }))).toEqual(["d-00"]);
    expect(
      ids(await devices.list(tenant, { query: "lastSeen < 2026-06-01T00:01:00Z" })),
    ).toHaveLength(19);
    expect(ids(await devices.list(tenant, { query: "not lastSeen > -9999d" }))).toHaveLength(4);
  });
});
