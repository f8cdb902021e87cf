import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../support/api.ts";
import { createTelemetryFleet, FLEET_START, type FleetDevice } from "../support/telemetry-fleet.ts";
import {
  type ReferencePoint,
  type ReferenceQuery,
  referenceSeries,
} from "../support/telemetry-reference.ts";

const HOUR = 3_600_000;
const SEED = 1020;
let test: TestApi;
let fleet: { devices: FleetDevice[]; points: ReferencePoint[] };

beforeAll(async () => {
  test = await startTestApi();
  fleet = await createTelemetryFleet(test, "acme", { seed: SEED, devices: 12, hours: 3 });
  await test.call("POST", "/tenants/acme/groups", { body: { name: "eu", query: 'region = "eu"' } });
  const old = { name: "old", query: 'firmware.version < "1.1.0"' };
  await test.call("POST", "/tenants/acme/groups", { body: old });
});
afterAll(() => test.close());

const from = FLEET_START + 17 * 60_000;
const to = FLEET_START + 2.5 * HOUR;
const get = (path: string, query: Record<string, unknown>, key = test.acme, tenant = "acme") => {
  const text = new URLSearchParams(
    Object.entries(query).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, String(value)]],
    ),
  );
  return test.call("GET", `/tenants/${tenant}/telemetry/${path}?${text}`, { key });
};

interface Case {
  stepMs: number;
  aggregate: string;
  transform?: "increase" | "rate" | "delta";
  across?: string;
  groupBy?: string;
  metric?: string;
}

const KEYS: Record<string, (device: FleetDevice) => (string | null)[]> = {
  none: () => [""],
  device: ({ id }) => [id],
  firmware: ({ firmware }) => [firmware],
  region: ({ region }) => [region],
  "tags.site": ({ site }) => [site ?? null],
  group: ({ region, firmware }) => [
    ...(region === "eu" ? ["eu"] : []),
    ...(firmware === "1.0.0" ? ["old"] : []),
  ],
};

const CASES: Case[] = [
  ...["avg", "min", "max", "sum", "count", "last", "p50", "p99.9"].flatMap((aggregate) => [
    { aggregate, stepMs: 45_000, groupBy: "device" },
    { aggregate, stepMs: 300_000, groupBy: "device" },
    { aggregate, stepMs: HOUR, groupBy: aggregate === "last" ? "device" : "firmware" },
  ]),
  ...["none", "region", "tags.site", "group"].map((groupBy) => {
    return { aggregate: "avg", stepMs: 45_000, groupBy };
  }),
  ...["avg", "sum", "max", "count", "p95"].map((across) => {
    return { aggregate: "last", across, stepMs: 60_000, groupBy: "region" };
  }),
  ...(["increase", "rate", "delta"] as const).flatMap((transform) => [
    { aggregate: "last", transform, stepMs: 50_000, groupBy: "device", metric: "odometer" },
    { aggregate: "last", transform, stepMs: 50_000, groupBy: "group", metric: "odometer" },
    { aggregate: "last", transform, across: "max", stepMs: 50_000, metric: "odometer" },
  ]),
];

function expected(one: Case): ReturnType<typeof referenceSeries> {
  const { groupBy = "none", metric = "fuel", ...rest } = one;
  const keysOf: ReferenceQuery["keysOf"] = (id) => {
    const device = fleet.devices.find((known) => known.id === id);
    return device && KEYS[groupBy] ? KEYS[groupBy](device) : [];
  };
  return referenceSeries(fleet.points, { ...rest, metric, from, to: toOf(one), keysOf });
}

/** Rollups are read whole: the last bucket too. */
function toOf({ stepMs }: Case): number {
  const width = [HOUR, 60_000].find((one) => stepMs % one === 0) ?? 1;
  return Math.ceil(to / width) * width;
}

describe("series of many devices", () => {
  it.each(CASES.map((one) => [JSON.stringify(one), one] as const))(
    "are what a slow reference makes of the points: %s",
    async (_name, one) => {
      const { stepMs, metric = "fuel", ...rest } = one;
      const query = { metric, from, to, step: `${stepMs}ms`, ...rest };
      const { status, body } = await get("series", query);
      expect(status, JSON.stringify(body)).toBe(200);
      const source = stepMs % HOUR === 0 ? "1h" : stepMs % 60_000 === 0 ? "1m" : "raw";
      expect(body.resolution).toMatchObject({ stepMs, source });
      const want = expected(one);
      expect(new Set(body.series.map(({ key }: { key: string }) => key))).toEqual(
        new Set(want.keys()),
      );
      const { approximate } = body.resolution;
      const bound = (round: string) =>
        approximate ? expected({ ...one, aggregate: round + one.aggregate }) : want;
      const [least, most] = [bound("floor"), bound("ceil")];
      const tolerance = approximate ? 0.02 : 1e-9;
      for (const { key, points } of body.series) {
        const values = want.get(key);
        expect(points.map(([ts]: [number]) => ts)).toEqual([...(values?.keys() ?? [])].sort());
        for (const [ts, value] of points) {
          const [low, high] = [least, most].map((of) => of.get(key)?.get(ts) ?? Number.NaN);
          const slack = tolerance * Math.abs(value) + 1e-7;
          expect(value, `${key} ${ts}`).toBeGreaterThanOrEqual((low as number) - slack);
          expect(value, `${key} ${ts}`).toBeLessThanOrEqual((high as number) + slack);
        }
      }
    },
  );

  it("know a counter's growth from rollups as from points, but for restarts within a minute", async () => {
    const query = { metric: "odometer", transform: "increase", from, to, groupBy: "device" };
    const { body } = await get("series", { ...query, step: "30m" });
    expect(body.resolution).toMatchObject({ source: "1m", approximate: true });
    const one = { aggregate: "last", transform: "increase" as const, stepMs: 1_800_000 };
    const want = expected({ ...one, groupBy: "device", metric: "odometer" });
    for (const { key, points } of body.series) {
      for (const [ts, value] of points) {
        expect(Math.abs(value / (want.get(key)?.get(ts) ?? 0) - 1)).toBeLessThan(0.1);
      }
    }
  });

  it("choose the coarsest rollup that serves the width of the screen", async () => {
    const source = async (query: object) =>
      (await get("series", { metric: "fuel", ...query })).body.resolution;
    const span = (ms: number, points: number) => source({ from: to - ms, to, points });
    expect(await span(HOUR, 600)).toMatchObject({ source: "raw", stepMs: 10_000 });
    expect(await span(24 * HOUR, 600)).toMatchObject({ source: "1m", stepMs: 300_000 });
    expect(await span(30 * 24 * HOUR, 600)).toMatchObject({ source: "1h", stepMs: 2 * HOUR });
    expect(await span(365 * 24 * HOUR, 300)).toMatchObject({ source: "1d", stepMs: 48 * HOUR });
  });

  it("take fleet queries, saved groups and lists, all of which hold", async () => {
    const keys = async (query: object) => {
      const { body } = await get("series", {
        ...{ metric: "fuel", from, to, step: "1h", groupBy: "device" },
        ...query,
      });
      return body.series.map(({ key }: { key: string }) => key);
    };
    const berlin = fleet.devices.filter(({ site }) => site === "berlin");
    expect(await keys({ q: 'tags.site = "berlin"' })).toEqual(berlin.map(({ id }) => id));
    const both = berlin.filter(({ region }) => region === "eu").map(({ id }) => id);
    expect(await keys({ q: 'tags.site = "berlin"', group: "eu" })).toEqual(both);
    expect(await keys({ devices: "truck-01,truck-03", group: "old" })).toEqual([]);
    expect(await keys({ devices: "truck-01,truck-02", group: "old" })).toEqual(["truck-02"]);
    expect(await keys({ q: 'id = "none"' })).toEqual([]);
  });

  it("are only the top ones by all of the time, in their order", async () => {
    const query = { metric: "fuel", from, to, aggregate: "max", groupBy: "device", step: "50s" };
    const all = (await get("series", query)).body.series as { key: string; points: number[][] }[];
    const greatest = all
      .map(({ key, points }) => ({ key, most: Math.max(...points.map(([, value]) => value ?? 0)) }))
      .sort((left, right) => right.most - left.most);
    const top = await get("series", { ...query, top: 3 });
    expect(top.body.series.map(({ key }: { key: string }) => key)).toEqual(
      greatest.slice(0, 3).map(({ key }) => key),
    );
    const least = await get("series", { ...query, top: -2 });
    expect(least.body.series[0].key).toBe(greatest.at(-1)?.key);
    const sites = await get("series", { ...query, groupBy: "tags.site", top: 1 });
    expect(sites.body.series.length).toBe(1);
  });

  it("fill gaps with nothing, null, the value before or a straight line", async () => {
    const at = (bucket: number) => FLEET_START + bucket * 10_000;
    const rows = [
      [1, 10],
      [4, 40],
    ].map(([bucket = 0, value = 0]) => ({ ts: at(bucket), seq: bucket, values: { gap: value } }));
    const peer = { tenantId: "acme", deviceId: "truck-00" };
    await test.modules.telemetry.ingestTelemetry(peer, rows, Date.now());
    const values = async (fill?: string) => {
      const query = { metric: "gap", from: at(0), to: at(6), step: "10s", fill };
      const { body } = await get("series", query);
      return body.series[0].points.map(([, value]: [number, number | null]) => value);
    };
    expect(await values()).toEqual([10, 40]);
    expect(await values("null")).toEqual([null, 10, null, null, 40, null]);
    expect(await values("previous")).toEqual([null, 10, 10, 10, 40, 40]);
    expect(await values("linear")).toEqual([null, 10, 20, 30, 40, null]);
  });
});

describe("the latest values of a fleet", () => {
  it("are paged, sorted and filtered", async () => {
    const newest = new Map<string, ReferencePoint>();
    for (const point of fleet.points.filter(({ metric }) => metric === "fuel")) {
      const known = newest.get(point.deviceId);
      const order = known && (point.ts - known.ts || point.seq - known.seq);
      if (order === undefined || order >= 0) newest.set(point.deviceId, point);
    }
    const want = [...newest.values()].sort((left, right) => right.value - left.value);
    const since = FLEET_START;
    const query = { metrics: "fuel", since, sort: "-value", limit: 5 };
    const found: { deviceId: string; value: number; ts: number }[] = [];
    let cursor: string | undefined;
    do {
      const { status, body } = await get("latest", { ...query, cursor });
      expect(status, JSON.stringify(body)).toBe(200);
      found.push(...body.items);
      cursor = body.nextCursor ?? undefined;
    } while (cursor);
    expect(found.map(({ deviceId, ts, value }) => ({ deviceId, ts, value }))).toEqual(
      want.map(({ deviceId, ts, value }) => ({ deviceId, ts, value })),
    );
    const above = want[3]?.value ?? 0;
    const some = await get("latest", { ...query, above, q: 'region = "eu"' });
    const eu = new Set(fleet.devices.filter(({ region }) => region === "eu").map(({ id }) => id));
    expect(some.body.items.map(({ deviceId }: { deviceId: string }) => deviceId)).toEqual(
      want.slice(0, 4).flatMap(({ deviceId }) => (eu.has(deviceId) ? [deviceId] : [])),
    );
    const names = await get("metrics", { since });
    expect(names.body.items.map(({ metric }: { metric: string }) => metric)).toContain("odometer");
  });
});

describe("queries over a fleet", () => {
  it.each([
    ["series", { metric: "fuel", from: to, to: from }, 400, "invalid-request"],
    ["series", { metric: "fuel", aggregate: "p101" }, 400, "invalid-request"],
    ["series", { metric: "fuel", aggregate: "avg(value)) --" }, 400, "invalid-request"],
    ["series", { metric: "fuel", groupBy: "tags.x'y" }, 400, "invalid-request"],
    ["series", { metric: "fuel", step: "1ms" }, 400, "query-too-expensive"],
    ["series", { metric: "fuel", across: "last" }, 400, "invalid-request"],
    ["series", { metric: "fuel", q: "region = " }, 400, "invalid-query"],
    ["series", { metric: "fuel", q: 'region = "eu") or (online' }, 400, "invalid-query"],
    ["series", { metric: "fuel", group: "none" }, 404, "not-found"],
    ["series", { metric: "fuel", devices: "truck-01,ghost" }, 404, "not-found"],
    ["series", {}, 400, "invalid-request"],
    ["latest", { cursor: "x" }, 400, "invalid-cursor"],
    ["latest", { sort: "nothing" }, 400, "invalid-request"],
  ])("refuse %s %o", async (path, query, status, code) => {
    const answer = await get(path, query);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });

  it("show nothing of another tenant, by id, list, group or all together", async () => {
    const series = await get("series", { metric: "fuel", from, to }, test.globex, "globex");
    expect(series.body.series).toEqual([]);
    const latest = await get("latest", { since: FLEET_START }, test.globex, "globex");
    expect(latest.body.items).toEqual([]);
    const names = await get("metrics", { since: FLEET_START }, test.globex, "globex");
    expect(names.body.items).toEqual([]);
    const listed = { metric: "fuel", from, to, devices: "truck-01" };
    expect((await get("series", listed, test.globex, "globex")).status).toBe(404);
    expect((await get("series", { metric: "fuel" }, test.globex, "acme")).status).toBe(404);
  });

  it("say what an odd metric name holds: nothing", async () => {
    const { body } = await get("series", { metric: "'; drop table telemetry --", from, to });
    expect(body.series).toEqual([]);
  });
});
