import { createClient } from "@clickhouse/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { confined } from "../../src/kernel/confinement.ts";
import { seededRandom } from "../../src/kernel/index.ts";
import { ROLLUP_LEVELS, type RollupLevel, type TelemetryRow } from "../../src/timeseries/index.ts";
import { createTestTimeseries, type TestTimeseries } from "../support/timeseries.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const WIDTH: Record<RollupLevel, number> = { "1m": 60_000, "1h": HOUR, "1d": DAY };
/** Some of what comes is recent, some is not: the border lies three hours before now. */
const START = Date.now() - 5 * HOUR;

let store: TestTimeseries;
beforeAll(async () => {
  store = await createTestTimeseries();
});
afterAll(() => store.close());

interface Bucket {
  at: number;
  count: number;
  min: number;
  max: number;
  sum: number;
  last: number;
  median: number;
}

function fleet(tenantId: string, level: RollupLevel, metric: string): Promise<Bucket[]> {
  return store.timeseries.tenantQuery<Bucket>(tenantId, {
    ...{ table: `fleet_${level}`, metric, final: true, limit: 100_000 },
    select: `toUnixTimestamp(ts) * 1000 as at, sum(count) as count, min(min) as min, max(max) as max,
      sum(sum) as sum, argMax(last, last_ts) as last,
      quantilesDDMerge(0.005, 0.5)(sketch)[1] as median`,
    groupBy: "at",
    orderBy: "at",
  });
}

/** Rows that an answer is made of: as many as buckets where all of it comes from the fleet's own. */
async function rowsBehind(tenantId: string, level: RollupLevel, metric: string): Promise<number> {
  const [row] = await store.timeseries.tenantQuery<{ n: number }>(tenantId, {
    ...{ table: `fleet_${level}`, metric, final: true, limit: 1, select: "count() as n" },
  });
  return row?.n ?? 0;
}

/** The slow way: of each device's moment the newest value, taken together by bucket. */
function expected(rows: readonly TelemetryRow[], level: RollupLevel, metric: string) {
  const unique = new Map<string, TelemetryRow>();
  for (const row of rows.filter((one) => one.metric === metric)) {
    const key = `${row.deviceId} ${row.ts}`;
    const known = unique.get(key);
    if (!known || row.seq >= known.seq) unique.set(key, row);
  }
  const buckets = Map.groupBy(unique.values(), ({ ts }) => Math.floor(ts / WIDTH[level]));
  return [...buckets]
    .sort(([left], [right]) => left - right)
    .map(([bucket, points]) => {
      const values = points.map(({ value }) => value).sort((left, right) => left - right);
      return {
        ...{ at: bucket * WIDTH[level], count: values.length },
        ...{ min: values[0] as number, max: values.at(-1) as number },
        sum: values.reduce((sum, value) => sum + value, 0),
        last: points.reduce((best, one) => (one.ts > best.ts ? one : best)).value,
        middle: values.slice(Math.max(0, ((values.length - 1) >> 1) - 1), (values.length >> 1) + 2),
      };
    });
}

const POLLED = { timeout: 20_000, interval: 100 };

async function isRight(tenantId: string, all: readonly TelemetryRow[], metric = "load") {
  for (const level of ROLLUP_LEVELS) {
    const wanted = expected(all, level, metric);
    const found = await fleet(tenantId, level, metric);
    expect(found.map(({ at }) => at)).toEqual(wanted.map(({ at }) => at));
    for (const [index, { sum, median, ...exact }] of found.entries()) {
      const { sum: total, middle, ...rest } = wanted[index] as (typeof wanted)[0];
      expect(exact).toEqual(rest);
      expect(sum).toBeCloseTo(total, 6);
      // Buckets of the sketch are three hundredths of a value wide, and it takes a neighbour of the middle.
      const off = middle.map((value) => Math.abs(median - value) - 0.015 * Math.abs(value));
      expect(Math.min(...off)).toBeLessThanOrEqual(1e-9);
    }
  }
}

/** How far a pass has come is known to readers within a second. */
const ownRows = async (tenantId: string, all: readonly TelemetryRow[]) => {
  for (const level of ROLLUP_LEVELS) {
    const buckets = expected(all, level, "load").length;
    await expect.poll(() => rowsBehind(tenantId, level, "load"), POLLED).toBe(buckets);
  }
};

async function read<Row>(query: string): Promise<Row[]> {
  const client = createClient({ url: store.engine.url, database: "vautn" });
  try {
    return await (await client.query({ query, format: "JSONEachRow" })).json<Row>();
  } finally {
    await client.close();
  }
}

/** Rows that are there, and in the devices' rollups. */
async function insert(rows: TelemetryRow[]): Promise<void> {
  await store.timeseries.insert("telemetry", rows);
  const [newest] = await read<{ at: string }>(
    "select toUnixTimestamp64Milli(max(received_at)) as at from telemetry",
  );
  await expect
    .poll(
      async () => {
        await store.timeseries.rollUp();
        return store.timeseries.rolledUpTo();
      },
      { timeout: 30_000, interval: 200 },
    )
    .toBeGreaterThanOrEqual(Number(newest?.at));
}

/** No two have one moment, so that one of them is the last. */
function points(tenantId: string, seed: number, count: number, firstSeq = 0): TelemetryRow[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, index) => {
    const seq = firstSeq + index;
    const ts = START + Math.floor((random.next() * 5 * HOUR) / 3_000) * 3_000 + seq;
    const deviceId = `d${Math.floor(random.next() * 6)}`;
    const metric = random.next() < 0.8 ? "load" : "heat";
    return {
      tenantId,
      deviceId,
      metric,
      ts,
      seq,
      value: Math.round(random.next() * 900 - 300) / 10,
    };
  });
}

describe("rollups of a whole fleet", () => {
  it("are what a slow reading gives: before they are made, while they are, and after late points", async () => {
    const first = points("acme", 3, 600);
    const other = points("other", 4, 100);
    await insert([...first, ...other]);
    // Nothing is made yet: the devices' rows answer.
    await isRight("acme", first);
    await store.timeseries.rollUpFleets({ part: "recent" });
    await isRight("acme", first);
    await store.timeseries.rollUpFleets({ part: "all" });
    await isRight("acme", first);
    await isRight("acme", first, "heat");
    await isRight("other", other);
    await ownRows("acme", first);
    await ownRows("other", other);

    // Late, again, corrected, and of other months.
    const corrected = first
      .slice(0, 40)
      .map((row) => ({ ...row, seq: row.seq + 10_000, value: 99 }));
    const early = [40, 70, 75].map(
      (days) => ({ ...first[0], ts: START - days * DAY }) as TelemetryRow,
    );
    const late = [
      ...points("acme", 5, 300, 1_000),
      ...first.slice(100, 200),
      ...corrected,
      ...early,
    ];
    const all = [...first, ...late];
    await insert(late);
    await isRight("acme", all);
    const rowsBefore = await rowsBehind("acme", "1m", "load");
    expect(rowsBefore).toBeGreaterThan(expected(all, "1m", "load").length);
    await store.timeseries.rollUpFleets({ part: "recent" });
    await isRight("acme", all);
    // Stopped after each statement, and right at every stop.
    let stops = 0;
    while (!(await store.timeseries.rollUpFleets({ part: "all", forMs: 0 })).complete) {
      stops += 1;
      await isRight("acme", all);
      if (stops === 2) {
        // What comes while it is on its way back is not passed over.
        const more = points("acme", 6, 60, 2_000);
        all.push(...more);
        await insert(more);
        await isRight("acme", all);
      }
    }
    expect(stops).toBeGreaterThan(4);
    await isRight("acme", all);
    await ownRows("acme", all);
    expect(await store.timeseries.rollUpFleets({ part: "all" })).toEqual({
      ...{ spans: 0, complete: true },
    });
  });

  it("answer nobody who may see some of the devices only", async () => {
    const tenantId = "guarded";
    const rows = points(tenantId, 8, 200);
    await insert(rows);
    await store.timeseries.rollUpFleets({ part: "all" });
    const own = { tenantId, groups: ["g"], query: "", deviceIds: ["d1", "d2"] };
    const seen = rows.filter(({ deviceId }) => own.deviceIds.includes(deviceId));
    await confined(own, () => isRight(tenantId, seen));
    await confined({ ...own, deviceIds: [] }, () => isRight(tenantId, []));
    await isRight(tenantId, rows);
    const table = "telemetry_fleet_1h" as never;
    const direct = () =>
      store.timeseries.tenantQuery(tenantId, { table, select: "count", limit: 1 });
    await expect(async () => direct()).rejects.toThrow("one of our tables");
  });

  it("are made again where the engine is killed in the middle", async () => {
    const tenantId = "killed";
    const rows = points(tenantId, 9, 3_000);
    await insert(rows);
    const { pid } = store.engine;
    const pass = store.timeseries.rollUpFleets({ part: "all" }).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 40));
    process.kill(pid, "SIGKILL");
    await pass;
    await expect.poll(() => store.engine.pid, { timeout: 20_000 }).not.toBe(pid);
    const isUp = () =>
      store.timeseries.ping().then(
        () => true,
        () => false,
      );
    await expect.poll(isUp, { timeout: 20_000 }).toBe(true);
    await isRight(tenantId, rows);
    while (!(await store.timeseries.rollUpFleets({ part: "all" })).complete);
    await isRight(tenantId, rows);
    await ownRows(tenantId, rows);
  });

  it("lie apart for tenants that are kept apart, also where their tables are new, and go with them", async () => {
    const client = createClient({ url: store.engine.url, database: "vautn" });
    const defaults = () =>
      read<{ table: string; d: string }>(
        `select table, default_expression as d from system.columns
         where database = 'vautn' and name = 'storage_class' and table like 'telemetry%'`,
      );
    try {
      await store.timeseries.keepApart(["apart"]);
      const wanted = await defaults();
      await client.command({
        query: "ALTER TABLE telemetry_fleet_1m MODIFY COLUMN storage_class DEFAULT 'shared'",
      });
      await client.command({
        query: "DELETE FROM vautn_migrations WHERE name = '1012_fleet_rollups.sql'",
      });
      expect(await store.timeseries.migrate()).toEqual(["1012_fleet_rollups.sql"]);
      expect(await defaults()).toEqual(wanted);
    } finally {
      await client.close();
    }
    const rows = points("apart", 10, 50);
    await insert(rows);
    await store.timeseries.rollUpFleets({ part: "all" });
    await isRight("apart", rows);
    const classes = await read<{ c: string }>(
      "select distinct storage_class as c from telemetry_fleet_1m where tenant_id = 'apart'",
    );
    expect(classes).toEqual([{ c: "tenant/apart" }]);
    for (const tenantId of ["apart", "other"]) {
      const before = await store.timeseries.countTenant(tenantId);
      expect(before.telemetry_fleet_1d).toBeGreaterThan(0);
      await store.timeseries.deleteTenant(tenantId);
      const after = await store.timeseries.countTenant(tenantId);
      expect(Object.values(after).every((rows) => rows === 0)).toBe(true);
    }
    expect((await store.timeseries.countTenant("acme")).telemetry_fleet_1d).toBeGreaterThan(0);
  });
});
