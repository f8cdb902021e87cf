import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { retentionJob } from "../../src/jobs/retention-jobs.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { createTelemetryFleet, FLEET_START, type FleetDevice } from "../support/telemetry-fleet.ts";
import {
  type ReferencePoint,
  type ReferenceQuery,
  referenceSeries,
} from "../support/telemetry-reference.ts";

const HEADER = "device,metric,time,value,clock_shift_ms";
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
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

/** Of the fleet as a whole, which has rollups of its own. */
const WHOLE: Case[] = [
  ...["avg", "min", "max", "sum", "count", "p50", "p99.9"].flatMap((aggregate) => [
    { aggregate, stepMs: 60_000 },
    { aggregate, stepMs: 600_000 },
    { aggregate, stepMs: HOUR },
  ]),
  ...["sum sum", "count sum", "min min", "max max", "avg max", "max sum"].map((pair) => {
    const [aggregate = "", across] = pair.split(" ");
    return { aggregate, across, stepMs: 600_000 };
  }),
  { aggregate: "avg", transform: "increase", across: "sum", stepMs: 50_000, metric: "odometer" },
];

const CASES: Case[] = [
  ...["avg", "min", "max", "sum", "count", "last", "p50", "p99.9"].flatMap((aggregate) => [
    { aggregate, stepMs: 45_000, groupBy: "device" },
    { aggregate, stepMs: 300_000, groupBy: "device" },
    { aggregate, stepMs: HOUR, groupBy: aggregate === "last" ? "device" : "firmware" },
  ]),
  ...["none", "region", "tags.site", "group"].map((groupBy) => {
    return { aggregate: "avg", stepMs: 45_000, groupBy };
  }),
  ...WHOLE,
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

async function isRight(one: Case): Promise<void> {
  const { stepMs, metric = "fuel", ...rest } = one;
  const query = { metric, from, to, step: `${stepMs}ms`, ...rest };
  const { status, body } = await get("series", query);
  expect(status, JSON.stringify(body)).toBe(200);
  const source = stepMs % HOUR === 0 ? "1h" : stepMs % 60_000 === 0 ? "1m" : "raw";
  expect(body.resolution).toMatchObject({ stepMs, source });
  const want = expected(one);
  expect(new Set(body.series.map(({ key }: { key: string }) => key))).toEqual(new Set(want.keys()));
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
}

describe("series of many devices", () => {
  it.each(CASES.map((one) => [JSON.stringify(one), one] as const))(
    "are what a slow reference makes of the points: %s",
    (_name, one) => isRight(one),
  );

  it("are the same from rollups of the fleet as a whole, where these have been made anew", async () => {
    const { spans, complete } = await test.timeseries.rollUpFleets({ part: "all" });
    expect([spans > 0, complete]).toEqual([true, true]);
    for (const one of WHOLE) await isRight(one);
  });

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

describe("an export", () => {
  const file = async (format: string, query: Record<string, unknown> = {}) => {
    const text = new URLSearchParams({
      ...{ format, from: String(from), to: String(to) },
      ...Object.fromEntries(Object.entries(query).map(([name, value]) => [name, String(value)])),
    });
    const url = `/api/v1/tenants/acme/telemetry/export?${text}`;
    const headers = { authorization: `Bearer ${test.acme}` };
    const answer = await test.api.inject({ method: "GET", url, headers });
    return { ...answer, bytes: answer.rawPayload, headers: answer.headers };
  };
  const wanted = () => {
    const unique = new Map<string, ReferencePoint>();
    for (const point of fleet.points.filter(({ ts }) => ts >= from && ts < to)) {
      const key = `${point.deviceId} ${point.metric} ${point.ts}`;
      const known = unique.get(key);
      if (!known || point.seq >= known.seq) unique.set(key, point);
    }
    const place = ({ deviceId, metric, ts }: ReferencePoint) => `${deviceId} ${metric} ${ts}`;
    return [...unique.values()].sort((left, right) => (place(left) < place(right) ? -1 : 1));
  };

  it("as CSV holds each point once, in order", async () => {
    const { bytes, headers, statusCode } = await file("csv", { metrics: "fuel,odometer" });
    expect([statusCode, headers["content-type"]]).toEqual([200, "text/csv; charset=utf-8"]);
    const lines = bytes.toString().trimEnd().split("\r\n");
    expect(lines.shift()).toBe(HEADER);
    const want = wanted();
    expect(headers["vautn-points"]).toBe(String(want.length));
    expect(lines).toEqual(
      want.map(({ deviceId, metric, ts, value }) =>
        [deviceId, metric, new Date(ts).toISOString(), value, 0].join(","),
      ),
    );
  });

  it("as Parquet is read by another reader", async () => {
    const { bytes } = await file("parquet", { q: 'region = "eu"', metrics: "fuel" });
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    const rows = await parquetReadObjects({ file: buffer as ArrayBuffer });
    const eu = fleet.devices.filter(({ region }) => region === "eu").map(({ id }) => id);
    const want = wanted().filter(
      ({ deviceId, metric }) => metric === "fuel" && eu.includes(deviceId),
    );
    expect(want.length).toBeGreaterThan(1000);
    expect(rows).toEqual(
      want.map(({ deviceId, metric, ts, value }) => {
        return { device: deviceId, metric, time: new Date(ts), value, clock_shift_ms: 0n };
      }),
    );
  });

  it("of nothing is a file with no rows, and of a stranger's devices none", async () => {
    expect((await file("csv", { metrics: "none" })).bytes.toString()).toBe(`${HEADER}\r\n`);
    const { bytes } = await file("parquet", { q: 'id = "none"' });
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    expect(await parquetReadObjects({ file: buffer as ArrayBuffer })).toEqual([]);
    expect((await get("export", { format: "xlsx" })).status).toBe(400);
    const theirs = await get("export", { from, to }, test.globex, "globex");
    expect(theirs.body).toBe(`${HEADER}\r\n`);
  });
});

describe("who is confined to a group", () => {
  it("is shown its devices alone, by every way, though others have asked before", async () => {
    const made = await test.call("POST", "/tenants/acme/keys", {
      body: { name: "eu only", role: "viewer", groups: ["eu"] },
    });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    const { key } = made.body;
    const eu = fleet.devices.filter(({ region }) => region === "eu").map(({ id }) => id);
    const devices = (text: string) => [...new Set(text.match(/truck-\d+/g))].sort();
    const prometheus = "prometheus/api/v1/label/device/values";
    const [series, latest, csv] = [
      ["series", { metric: "fuel", from, to, step: "1h", groupBy: "device" }],
      ["latest", { since: FLEET_START, limit: 500 }],
      ["export", { from, to }],
    ] as [string, object][];
    // Units are known for five seconds: who is confined is the first to ask then.
    await new Promise((resolve) => setTimeout(resolve, 5_500));
    expect((await get("metrics", {}, key)).status).toBe(200);
    for (const [path, query] of [series, latest, csv] as [string, Record<string, unknown>][]) {
      const all = await get(path, query);
      expect(devices(JSON.stringify(all.body)).length).toBe(fleet.devices.length);
      // Nobody else has just asked what is kept.
      await test.modules.tenancy.retention.change("acme", (rules) => [...rules], SYSTEM_ACTOR);
      const own = await get(path, query, key);
      expect(own.status, JSON.stringify(own.body)).toBe(200);
      expect(devices(JSON.stringify(own.body)), path).toEqual(eu);
    }
    const labels = async (as: string) =>
      (await test.call("GET", `/tenants/acme/${prometheus}`, { key: as })).body.data;
    expect((await labels(test.acme)).length).toBe(fleet.devices.length);
    expect(await labels(key)).toEqual(eu);
    expect((await labels(test.acme)).length).toBe(fleet.devices.length);
    const named = { metric: "fuel", from, to, devices: "truck-02" };
    expect((await get("series", named, key)).status).toBe(404);
  });
});

describe("a live view", () => {
  it("begins with the latest values and goes on with what comes in, of the devices chosen", async () => {
    const base = await test.listen();
    const filter = new URLSearchParams({ q: 'region = "eu"', metrics: "speed" });
    const end = new AbortController();
    const response = await fetch(`${base}/api/v1/tenants/acme/telemetry/live?${filter}`, {
      headers: { authorization: `Bearer ${test.acme}` },
      signal: end.signal,
    });
    expect([response.status, response.headers.get("content-type")]).toEqual([
      200,
      "text/event-stream",
    ]);
    const events = eventsOf(response);
    expect((await events.next()).value).toEqual({ points: [], missed: 0 });
    const now = Date.now();
    const say = (tenantId: string, deviceId: string, values: object) =>
      test.modules.telemetry.ingestTelemetry(
        { tenantId, deviceId },
        { ts: now, seq: 1, values },
        now,
      );
    await say("acme", "truck-02", { speed: 2 });
    await say("globex", "truck-00", { speed: 9 });
    await say("acme", "truck-00", { speed: 1, other: 5 });
    const seen: unknown[] = [];
    while (seen.length === 0) seen.push(...((await events.next()).value?.points ?? []));
    expect(seen).toEqual([{ deviceId: "truck-00", metric: "speed", ts: now, value: 1 }]);
    end.abort();
    const refused = await get("live", { devices: "ghost", metrics: "speed" });
    expect([refused.status, refused.body.code]).toEqual([404, "not-found"]);
  });
});

// The last one: what it removes is gone.
describe("retention", () => {
  it("is respected by reads at once, and by the store when its job has run", async () => {
    const count = async (tenantId: string) => {
      const rows = await test.timeseries.tenantQuery<{ n: number }>(tenantId, {
        table: "points",
        select: "count() as n",
        where: ["ts < fromUnixTimestamp64Milli({before:Int64})"],
        limit: 1,
        params: { before: Date.now() - DAY },
      });
      return rows[0]?.n ?? 0;
    };
    const old = { deviceId: "theirs", metric: "fuel", ts: FLEET_START, seq: 1, value: 1 };
    await test.timeseries.insert("telemetry", [{ tenantId: "globex", ...old }]);
    const settings = { settings: { telemetryRetentionDays: 1 } };
    expect((await test.call("PATCH", "/tenants/acme", { body: settings })).status).toBe(200);
    const series = await get("series", { metric: "fuel", from, to, step: "1h" });
    expect(series.body.series).toEqual([]);
    expect((await get("series", { metric: "fuel", from, to, top: 1 })).body.series).toEqual([]);
    const latest = await get("latest", { since: FLEET_START, metrics: "fuel" });
    expect(latest.body.items).toEqual([]);
    expect((await get("export", { from, to })).body).toBe(`${HEADER}\r\n`);
    const promql = `query?query=fuel&time=${(FLEET_START + HOUR) / 1000}`;
    const at = `/tenants/acme/prometheus/api/v1/${promql}`;
    expect((await test.call("GET", at, { key: test.acme })).body.data.result).toEqual([]);

    expect(await count("acme")).toBeGreaterThan(1000);
    const { clock, logger, tenancy } = test.modules;
    await retentionJob({ clock, logger, tenancy, timeseries: test.timeseries }).run();
    expect([await count("acme"), await count("globex")]).toEqual([0, 1]);
    const live = { clock, logger, tenancy, timeseries: test.timeseries };
    await retentionJob(live).run();
    expect((await get("latest", { metrics: "speed" })).body.items.length).toBe(2);
  });
});

async function* eventsOf(response: Response): AsyncGenerator<{ points: unknown[] }, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body as ReadableStream<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    for (let at = text.indexOf("\n\n"); at >= 0; at = text.indexOf("\n\n")) {
      const data = /^data: (.*)$/m.exec(text.slice(0, at))?.[1];
      text = text.slice(at + 2);
      if (data) yield JSON.parse(data);
    }
  }
  return undefined;
}
