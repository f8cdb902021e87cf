import { createClient } from "@clickhouse/client";
import { afterAll, beforeAll, expect, it } from "vitest";
import { seededRandom, systemClock } from "../../src/kernel/index.ts";
import type { DeclaredProduct } from "../../src/protocol/index.ts";
import {
  createDeclaredMetrics,
  createTelemetry,
  type Telemetry,
} from "../../src/telemetry/index.ts";
import { PointColumns } from "../../src/timeseries/index.ts";
import { createTestTimeseries, type TestTimeseries } from "../support/timeseries.ts";

const NOW = Math.floor(Date.now() / 60_000) * 60_000;
const TENANT = "acme";
/** From when on the second column is in use. */
const LATER = NOW - 60_000;
const HUB: DeclaredProduct = {
  product: "hub",
  metrics: [
    { name: "heat", type: "number", decimals: 2 },
    { name: "steps", type: "integer" },
    { name: "open", type: "boolean" },
    { name: "free", type: "number" },
    { name: "mode", type: "string" },
  ],
  slots: [
    { slot: 1, name: "heat", decimals: 1, from: 0 },
    { slot: 2, name: "steps", decimals: 0, from: 0 },
    { slot: 3, name: "heat", decimals: 2, from: LATER },
    { slot: 4, name: "open", decimals: 0, from: LATER },
  ],
};

let store: TestTimeseries;
let telemetry: Telemetry;
beforeAll(async () => {
  store = await createTestTimeseries();
  const declared = createDeclaredMetrics({
    clock: systemClock,
    productsOf: async (tenantId) => (tenantId === TENANT ? [HUB] : []),
    productByDevice: async (_tenantId, ids) =>
      new Map(ids.filter((id) => id !== "plain").map((id) => [id, "hub"])),
  });
  telemetry = createTelemetry({ timeseries: store.timeseries, clock: systemClock, declared });
});
afterAll(async () => {
  await telemetry.close();
  await store.close();
});

interface Point {
  device: string;
  metric: string;
  at: number;
  value: number;
}

function pointsOf(tenantId: string): Promise<Point[]> {
  return store.timeseries.tenantQuery<Point>(tenantId, {
    table: "points",
    select: "device_id as device, metric, toUnixTimestamp64Milli(ts) as at, value",
    orderBy: "device, metric, at",
    limit: 100_000,
    final: true,
  });
}

const count = async (table: "telemetry" | "telemetry_wide") =>
  (
    await store.timeseries.tenantQuery<{ rows: number }>(TENANT, {
      ...{ table, select: "count() as rows", limit: 1, final: true },
    })
  )[0]?.rows;

it("holds every number as it came, wherever it is kept, once however often it came", async () => {
  const random = seededRandom(11);
  const expected = new Map<string, Point>();
  const messages: { device: string; sample: unknown }[] = [];
  for (let index = 0; index < 600; index += 1) {
    const device = ["a", "b", "plain"][index % 3] as string;
    const ts = NOW - index * 400;
    const fine = random.next() * 100 - 50;
    const values: Record<string, unknown> = {
      // Numbers of one, two and many decimals, zeros of both signs, and what no column can hold.
      heat: [Math.round(fine * 10) / 10, Math.round(fine * 100) / 100, fine, -0, 1e300][index % 5],
      ...(index % 4 === 0 ? {} : { steps: Math.round(fine * 1e6) }),
      ...(index % 7 === 0 ? { open: index % 2 === 0 } : {}),
      free: fine,
    };
    for (const [metric, value] of Object.entries(values)) {
      const point = { device, metric, at: ts, value: Number(value) };
      expected.set(`${device} ${metric} ${ts}`, point);
    }
    messages.push({ device, sample: { ts, seq: 600 - index, values } });
    // The same moment in another message, with what the first had not.
    const extra = { late: index };
    expected.set(`${device} late ${ts}`, { device, metric: "late", at: ts, value: index });
    messages.push({ device, sample: { ts, seq: 600 - index, values: extra } });
  }
  const half = { ts: NOW + 1, seq: 700, values: { heat: 1.5 } };
  const rest = { ts: NOW + 1, seq: 701, values: { steps: 4 } };
  messages.push({ device: "a", sample: half }, { device: "a", sample: rest });
  expected.set("half", { device: "a", metric: "heat", at: NOW + 1, value: 1.5 });
  expected.set("rest", { device: "a", metric: "steps", at: NOW + 1, value: 4 });
  const send = (list: typeof messages) =>
    Promise.all(
      list.map(({ device, sample }) =>
        telemetry.ingestTelemetry({ tenantId: TENANT, deviceId: device }, sample, NOW),
      ),
    );
  await send(messages);
  // Again, in another order and in other inserts.
  await send(messages.toReversed().slice(0, 500));
  await send(messages.slice(300, 900));
  const byPlace = (left: Point, right: Point) =>
    left.device.localeCompare(right.device) ||
    left.metric.localeCompare(right.metric) ||
    left.at - right.at;
  const found = (await pointsOf(TENANT)).sort(byPlace);
  const wanted = [...expected.values()].sort(byPlace);
  expect(found.length).toBe(wanted.length);
  expect(found.map((point) => ({ ...point, value: point.value + 0 }))).toEqual(
    wanted.map((point) => ({ ...point, value: point.value + 0 })),
  );
  expect(await count("telemetry_wide")).toBeGreaterThan(150);
  expect(await pointsOf("other")).toEqual([]);
});

it("keeps columns that are seldom filled, and their zeros, when rows are taken together for good", async () => {
  const tenantId = "seldom";
  const raw = createClient({ url: store.engine.url, database: "vautn" });
  const ask = async <Row>(query: string) =>
    (await raw.query({ query, format: "JSONEachRow" })).json<Row>();
  try {
    // Three messages of each moment, every one with something else.
    for (const turn of [0, 1, 2]) {
      const points = new PointColumns();
      for (let index = 0; index < 3_000; index += 1) {
        points.wide.begin(tenantId, `d-${index % 3}`, "hub", "a=0,b=0", NOW - index, 9_000 + turn);
        if (turn === 0) points.wide.set(1, index);
        if (turn === 1 && index % 50 === 0) points.wide.set(2, -index);
        if (turn === 2 && index % 100 === 0) points.wide.set(3, 0);
        if (turn === 2 && index === 77) points.wide.set(20, 2 ** 40);
      }
      await store.timeseries.insertPoints(points);
    }
    const read = async (final: boolean) => {
      const [row] = await store.timeseries.tenantQuery<Record<string, number>>(tenantId, {
        ...{ table: "telemetry_wide", final, limit: 1 },
        select: `count() as moments, count(i1) as a, sum(i1) as sum_a, count(i2) as b, sum(i2) as sum_b,
          countIf(i3 = 0) as zeros, count(i20) as once, sum(i20) as sum_once, count(i32) as never`,
      });
      return row;
    };
    const wanted = {
      ...{ moments: 3_000, a: 3_000, sum_a: 4_498_500, b: 60, sum_b: -88_500 },
      ...{ zeros: 30, once: 1, sum_once: 2 ** 40, never: 0 },
    };
    expect(await read(true)).toEqual(wanted);
    await raw.command({ query: "OPTIMIZE TABLE telemetry_wide FINAL" });
    expect(await read(false)).toEqual(wanted);
    const kinds = await ask<{ column: string; kind: string }>(
      `SELECT column, any(serialization_kind) AS kind FROM system.parts_columns
       WHERE active AND database = 'vautn' AND table = 'telemetry_wide' AND column IN ('i20', 'i32')
       GROUP BY column ORDER BY column`,
    );
    // What no layout uses is not written at all.
    expect(kinds.map(({ kind }) => kind)).toEqual(["Sparse", "Sparse"]);
  } finally {
    await raw.close();
  }
});

it("finds the points of one metric, in whichever columns it has ever been kept", async () => {
  const ofMetric = (tenantId: string, metric: string) =>
    store.timeseries.tenantQuery<Point>(tenantId, {
      ...{ table: "points", metric, limit: 100_000, final: true },
      select: "device_id as device, metric, toUnixTimestamp64Milli(ts) as at, value",
      orderBy: "device, metric, at",
      where: ["ts >= fromUnixTimestamp64Milli({from:Int64})"],
      params: { from: NOW - 600 * 400 },
    });
  const all = await pointsOf(TENANT);
  for (const metric of ["heat", "steps", "open", "free", "late", "nothing"]) {
    const wanted = all.filter((point) => point.metric === metric);
    // Asked twice: the second time the columns are known.
    expect(await ofMetric(TENANT, metric)).toEqual(wanted);
    expect(await ofMetric(TENANT, metric)).toEqual(wanted);
  }
  // Another layout than those that are known is seen at once, and nobody else's.
  for (const [index, layout] of ["heat=2", "steps=0,heat=3", "heat=0"].entries()) {
    const columns = new PointColumns();
    columns.wide.begin("next", "n", "hub", layout, NOW + index, 1);
    columns.wide.set(index === 1 ? 2 : 1, 1_500);
    await store.timeseries.insertPoints(columns);
    const values = (await ofMetric("next", "heat")).map(({ value }) => value);
    expect(values).toEqual([15, 1.5, 1_500].slice(0, index + 1));
  }
  await expect(
    store.timeseries.tenantQuery(TENANT, {
      ...{ table: "points", metric: "heat", select: "value", limit: 1 },
      where: ["metric != ''"],
    }),
  ).rejects.toThrow("no other conditions");
});

it("rolls up both kinds of rows together", async () => {
  const all = await pointsOf(TENANT);
  await expect
    .poll(
      async () => {
        await store.timeseries.rollUp();
        const rows = await store.timeseries.tenantQuery<{ count: number }>(TENANT, {
          ...{ table: "telemetry_1d", select: "sum(count) as count", limit: 1, final: true },
        });
        return rows[0]?.count;
      },
      { timeout: 20_000, interval: 300 },
    )
    .toBe(all.length);
});

it("gives the newest value by the device's own time, out of order and of either kind", async () => {
  const device = { tenantId: TENANT, deviceId: "late" };
  const at = (ts: number, heat: number) =>
    telemetry.ingestTelemetry(device, { ts, seq: 1, values: { heat, mode: "eco" } }, NOW);
  await at(NOW, 21.25);
  await at(NOW - 5_000, 7.5);
  await at(NOW - 9_000, Math.PI);
  expect(await telemetry.latest(TENANT, "late")).toEqual([
    { metric: "heat", ts: NOW, value: 21.25 },
  ]);
});
