import { createClient } from "@clickhouse/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { seededRandom } from "../../src/kernel/index.ts";
import type { RollupLevel, TelemetryRow } from "../../src/timeseries/index.ts";
import { createTestTimeseries, type TestTimeseries } from "../support/timeseries.ts";

const BUCKET_MS: Record<RollupLevel, number> = { "1m": 60_000, "1h": 3_600_000, "1d": 86_400_000 };
/** In the middle of a day, so that a few hours stay within it. */
const START = Date.UTC(2026, 5, 10, 11, 58);

let store: TestTimeseries;
beforeAll(async () => {
  store = await createTestTimeseries();
});
afterAll(() => store.close());

function point(ts: number, value: number, rest: Partial<TelemetryRow> = {}): TelemetryRow {
  return { tenantId: "acme", deviceId: "d1", metric: "load", ts, seq: 1, value, ...rest };
}

interface Bucket {
  tenant_id: string;
  device_id: string;
  metric: string;
  at: number;
  count: number;
  min: number;
  max: number;
  sum: number;
  first: number;
  last: number;
  first_ts: number;
  last_ts: number;
  median: number;
}

function buckets(tenantId: string, level: RollupLevel): Promise<Bucket[]> {
  return store.timeseries.tenantQuery<Bucket>(tenantId, {
    table: `telemetry_${level}`,
    select: `tenant_id, device_id, metric, toUnixTimestamp(ts) * 1000 as at, sum(count) as count,
      min(min) as min, max(max) as max, sum(sum) as sum, any(first) as first, any(last) as last,
      toUnixTimestamp64Milli(min(first_ts)) as first_ts,
      toUnixTimestamp64Milli(max(last_ts)) as last_ts,
      quantilesDDMerge(0.005, 0.5)(sketch)[1] as median`,
    groupBy: "tenant_id, device_id, metric, at",
    orderBy: "device_id, metric, at",
    limit: 100_000,
    final: true,
  });
}

/** What the buckets ought to be, the slow way: one row for each metric and moment, the newest by `seq`. */
function expected(rows: readonly TelemetryRow[], tenantId: string, level: RollupLevel) {
  const unique = new Map<string, TelemetryRow>();
  for (const row of rows.filter((one) => one.tenantId === tenantId)) {
    const key = `${row.deviceId} ${row.metric} ${row.ts}`;
    const known = unique.get(key);
    if (!known || row.seq >= known.seq) unique.set(key, row);
  }
  const groups = new Map<string, TelemetryRow[]>();
  for (const row of unique.values()) {
    const at = Math.floor(row.ts / BUCKET_MS[level]) * BUCKET_MS[level];
    const key = JSON.stringify([row.deviceId, row.metric, at]);
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups].map(([key, group]) => {
    const [device_id, metric, at] = JSON.parse(key);
    const ordered = group.sort((left, right) => left.ts - right.ts);
    const values = ordered.map((row) => row.value);
    return {
      ...{ tenant_id: tenantId, device_id, metric, at, count: values.length },
      ...{ min: Math.min(...values), max: Math.max(...values) },
      sum: values.reduce((sum, value) => sum + value, 0),
      ...{ first: values[0], last: values.at(-1) },
      ...{ first_ts: ordered[0]?.ts, last_ts: ordered.at(-1)?.ts },
      medians: values
        .toSorted((left, right) => left - right)
        .slice(Math.max(0, ((values.length - 1) >> 1) - 1), (values.length >> 1) + 2),
    };
  });
}

async function rolledUp(levels?: readonly RollupLevel[]): Promise<number> {
  let points = 0;
  await expect
    .poll(
      async () => {
        points += (await store.timeseries.rollUp(levels)).points;
        const upTo = await store.timeseries.rolledUpTo();
        return upTo;
      },
      { timeout: 30_000, interval: 200 },
    )
    .toBeGreaterThan(insertedAt);
  await store.timeseries.rollUp(levels);
  return points;
}

let insertedAt = 0;
async function insert(rows: TelemetryRow[]): Promise<void> {
  await store.timeseries.insert("telemetry", rows);
  insertedAt = (await newestReceipt()) - 1;
}

async function newestReceipt(): Promise<number> {
  const client = createClient({ url: store.engine.url, database: "vautn" });
  try {
    const answer = await client.query({
      query: "select toUnixTimestamp64Milli(max(received_at)) as at from telemetry",
      format: "JSONEachRow",
    });
    const [row] = await answer.json<{ at: string }>();
    return Number(row?.at);
  } finally {
    await client.close();
  }
}

function sameBuckets(found: Bucket[], wanted: ReturnType<typeof expected>): void {
  const byKey = (one: { device_id: string; metric: string; at: number }) =>
    `${one.device_id} ${one.metric} ${one.at}`;
  const sorted = wanted.sort((left, right) => (byKey(left) < byKey(right) ? -1 : 1));
  const given = found.sort((left, right) => (byKey(left) < byKey(right) ? -1 : 1));
  expect(given.map(byKey)).toEqual(sorted.map(byKey));
  for (const [index, bucket] of given.entries()) {
    const { sum, medians, ...exact } = sorted[index] as (typeof sorted)[0];
    expect(bucket).toMatchObject(exact);
    expect(bucket.sum).toBeCloseTo(sum, 6);
    // Buckets of the sketch are three hundredths of a value wide, and it takes a neighbour of the middle for it.
    const off = medians.map(
      (median) => Math.abs(bucket.median - median) - 0.015 * Math.abs(median),
    );
    expect(Math.min(...off)).toBeLessThanOrEqual(1e-9);
  }
}

describe("rollups", () => {
  it("are what a slow reading of all points gives, however late and often they came", async () => {
    const random = seededRandom(7);
    const all: TelemetryRow[] = [];
    const rows: TelemetryRow[] = [];
    for (const tenantId of ["acme", "other"]) {
      for (let index = 0; index < 400; index += 1) {
        const ts = START + Math.floor(random.next() * 3 * 3_600_000);
        const device = `d${1 + Math.floor(random.next() * 3)}`;
        const value = Math.round((random.next() - 0.3) * 1000) / 10;
        const metric = random.next() < 0.5 ? "load" : "heat";
        rows.push({ tenantId, deviceId: device, metric, ts, seq: index, value });
      }
    }
    const cut = 500;
    await insert(rows.slice(0, cut));
    all.push(...rows.slice(0, cut));
    await rolledUp();
    for (const tenantId of ["acme", "other"]) {
      for (const level of ["1m", "1h", "1d"] as const) {
        sameBuckets(await buckets(tenantId, level), expected(all, tenantId, level));
      }
    }
    // The rest comes late, part of what was there comes again, and one moment gets a newer value.
    const again = rows.slice(100, 200);
    const newer = { ...(rows[0] as TelemetryRow), seq: 9_999, value: 55 };
    const early = point(START - 40 * 86_400_000, 3);
    const late = [...rows.slice(cut), ...again, newer, early];
    await insert(late);
    all.push(...late);
    await rolledUp();
    for (const tenantId of ["acme", "other"]) {
      for (const level of ["1m", "1h", "1d"] as const) {
        sameBuckets(await buckets(tenantId, level), expected(all, tenantId, level));
      }
    }
  });

  it("have nothing to do where nothing came", async () => {
    const result = await store.timeseries.rollUp();
    expect(result).toEqual({ points: 0, spans: 0, complete: true });
  });

  it("know the newest point of each series, before they have seen it and after", async () => {
    const random = seededRandom(11);
    const tenantId = "newest";
    const series = ["load", "heat"].flatMap((metric) => [1, 2, 3].map((n) => ({ metric, n })));
    const all: TelemetryRow[] = [];
    const asked = () =>
      store.timeseries.tenantQuery(tenantId, {
        table: "latest",
        select: `device_id as device, metric, toUnixTimestamp64Milli(max(ts)) as at,
          argMax(value, (ts, seq)) as newest`,
        groupBy: "device, metric",
        orderBy: "device, metric",
        limit: 100,
      });
    const wanted = () => {
      const newest = new Map<string, TelemetryRow>();
      for (const row of all) {
        const key = `${row.deviceId} ${row.metric}`;
        const known = newest.get(key);
        if (!known || row.ts > known.ts || (row.ts === known.ts && row.seq > known.seq)) {
          newest.set(key, row);
        }
      }
      return [...newest.entries()]
        .sort(([left], [right]) => (left < right ? -1 : 1))
        .map(([, row]) => {
          return { device: row.deviceId, metric: row.metric, at: row.ts, newest: row.value };
        });
    };
    for (let round = 0; round < 2; round += 1) {
      const rows = series.flatMap(({ metric, n }) =>
        Array.from({ length: 40 }, (_, index) => {
          const ts = START + Math.floor(random.next() * (round + 1) * 7_200_000);
          const value = Math.round(random.next() * 1_000);
          return { tenantId, deviceId: `d${n}`, metric, ts, seq: index, value };
        }),
      );
      // What was the newest gets another value, an older number for the same moment does not count, and
      // some comes again.
      const before = all.reduce<TelemetryRow | undefined>(
        (best, row) => (best && best.ts >= row.ts ? best : row),
        undefined,
      );
      if (before) {
        rows.push(
          { ...before, seq: before.seq + 1_000, value: 7 },
          { ...before, value: 8, seq: 0 },
        );
      }
      const sent = [...rows, ...all.slice(0, 50)];
      all.push(...rows);
      await insert(sent);
      expect(await asked()).toEqual(wanted());
      await rolledUp(["1m"]);
      expect(await asked()).toEqual(wanted());
    }
    const taken = await store.timeseries.countTenant(tenantId);
    expect(taken.telemetry_latest).toBeGreaterThanOrEqual(series.length);
  });

  it("leave nothing stale when the engine is killed in the middle of a pass", async () => {
    const rows = Array.from({ length: 20_000 }, (_, index) =>
      point(START + 86_400_000 + index * 500, index % 100, { tenantId: "killed", seq: index }),
    );
    await insert(rows);
    const pid = store.engine.pid;
    const pass = store.timeseries.rollUp().catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 30));
    process.kill(pid, "SIGKILL");
    await pass;
    await expect.poll(() => store.engine.pid, { timeout: 20_000 }).not.toBe(pid);
    await expect
      .poll(
        () =>
          store.timeseries.ping().then(
            () => true,
            () => false,
          ),
        { timeout: 20_000 },
      )
      .toBe(true);
    await rolledUp();
    for (const level of ["1m", "1h", "1d"] as const) {
      sameBuckets(await buckets("killed", level), expected(rows, "killed", level));
    }
  });

  it("go with their tenant", async () => {
    await store.timeseries.deleteTenant("other");
    for (const level of ["1m", "1h", "1d"] as const) {
      expect(await buckets("other", level)).toEqual([]);
    }
    expect((await buckets("acme", "1d")).length).toBeGreaterThan(0);
  });
});
