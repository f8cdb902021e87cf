import { createClient } from "@clickhouse/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { moveJob, retentionJob } from "../../src/jobs/retention-jobs.ts";
import { rollupJobs } from "../../src/jobs/rollup-jobs.ts";
import type { Clock } from "../../src/kernel/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { PointColumns } from "../../src/timeseries/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { until } from "../support/gateway.ts";
import { ownerRows } from "../support/owner-rows.ts";
import { silentLogger } from "../support/timeseries.ts";

const DAY = 86_400_000;
/** In the middle of a day: what is removed goes by whole days. */
const NOON = Math.floor(Date.now() / DAY) * DAY + DAY / 2;
const ago = (days: number) => NOON - days * DAY;

let test: TestApi;
beforeAll(async () => {
  test = await startTestApi();
});
afterAll(() => test.close());

const call = (method: string, path: string, body?: object, tenant = "acme") =>
  test.call(method, `/tenants/${tenant}/telemetry/${path}`, {
    ...(body ? { body } : {}),
  });
const job = (clock: Clock = test.modules.clock) =>
  retentionJob({
    ...{ clock, logger: silentLogger },
    ...{ tenancy: test.modules.tenancy, timeseries: test.timeseries },
  }).run();

/** How old, in days, what is left of each metric is; in the store, whatever reads leave out. */
async function left(tenantId: string, table: "points" | "telemetry_1m" | "telemetry_1d") {
  const rows = await test.timeseries.tenantQuery<{ m: string; at: number }>(tenantId, {
    table,
    select: "toString(metric) as m, toInt64(toUnixTimestamp(ts)) * 1000 as at",
    orderBy: "m, at desc",
    final: true,
    limit: 1_000,
  });
  const ages: Record<string, number[]> = {};
  for (const { m, at } of rows) {
    ages[m] = [...(ages[m] ?? []), Math.floor((NOON - at) / DAY)];
  }
  return ages;
}

/** Points of a metric by the day, of all devices of the tenant together. */
function ofFleet(tenantId: string, metric = "heat", level: "1m" | "1d" = "1d") {
  return test.timeseries.tenantQuery<{ at: number; n: number }>(tenantId, {
    ...{ table: `fleet_${level}` as const, metric, final: true, limit: 1_000 },
    select: "toInt64(toUnixTimestamp(toStartOfDay(ts))) * 1000 as at, sum(count) as n",
    ...{ groupBy: "at", orderBy: "at" },
  });
}

const AGES = [1, 5, 20, 60, 200];

/** Points of every age, narrow and wide, in two tenants. */
async function fill() {
  const columns = new PointColumns();
  for (const tenant of ["acme", "globex"]) {
    for (const [index, age] of AGES.entries()) {
      columns.add(tenant, "d1", "heat", ago(age), index, 20 + index);
      columns.add(tenant, "d1", "debug.rpm", ago(age), index, 900);
      columns.add(tenant, "d1", "debug_x", ago(age), index, 1);
      columns.wide.begin(tenant, "d1", "hub", "debug.load=1,load=1", ago(age), index);
      columns.wide.set(1, 11);
      columns.wide.set(2, 22);
    }
  }
  await test.timeseries.insertPoints(columns);
  await until(async () => (await test.timeseries.rollUp()).points > 0);
  await test.timeseries.rollUp();
}

describe("rules of retention", () => {
  it("are refused with all that is wrong, and say who changed them", async () => {
    const rule = { pattern: "debug.*", points: 7, minutes: 7, hours: 7, days: 7 };
    const wrong = [{ ...rule, minutes: 5 }, { ...rule, pattern: "a%b" }, rule];
    const refused = await call("PUT", "retention", { rules: wrong });
    expect([refused.status, refused.body.code]).toEqual([422, "invalid-content"]);
    expect(refused.body.errors.length).toBe(3);
    const far = await call("PUT", "retention", { rules: [{ ...rule, days: 99_999 }] });
    expect(far.status).toBe(400);
    const settings = { telemetryRetentionDays: 90, minuteRollupRetentionDays: 30 };
    const short = await test.call("PATCH", "/tenants/acme", { body: { settings } });
    expect(short.status).toBe(422);
    expect(JSON.stringify(short.body.errors)).toContain("minuteRollupRetentionDays");
    const viewer = await test.keyOf("acme", "viewer");
    const put = { key: viewer, body: { rules: [rule] } };
    const forbidden = await test.call("PUT", "/tenants/acme/telemetry/retention", put);
    expect(forbidden.status).toBe(403);
    const { headers } = await call("GET", "retention");
    const stale = { headers: { "if-match": '"other"' }, body: { rules: [rule] } };
    const late = await test.call("PUT", "/tenants/acme/telemetry/retention", stale);
    expect(late.status).toBe(412);
    const good = { headers: { "if-match": String(headers.etag) }, body: { rules: [rule] } };
    const set = await test.call("PUT", "/tenants/acme/telemetry/retention", good);
    expect([set.status, set.body.rules]).toEqual([200, [rule]]);
    const audit = await test.call("GET", "/tenants/acme/audit?action=telemetry-retention.change");
    expect(audit.body.items[0].details.after[0].pattern).toBe("debug.*");
  });

  it("remove points and rollups of each metric by their own days, and nobody else's", async () => {
    await fill();
    const all = { telemetryRetentionDays: 90, dayRollupRetentionDays: 365 };
    await test.call("PATCH", "/tenants/acme", { body: { settings: all } });
    const debug = { pattern: "debug.*", points: 7, minutes: 30, hours: 30, days: 30 };
    await call("PUT", "retention", { rules: [debug] });
    const estimate = await call("POST", "retention/estimate", {});
    expect(estimate.body.points.rows).toBe(0);
    const weekly = { points: 7, minutes: 7, hours: 7, days: 7 };
    const saving = await call("POST", "retention/estimate", { all: weekly, rules: [] });
    // Of heat, debug_x and load those of 20 and 60 days; debug is removed in any case.
    expect(saving.body.points.rows).toBe(6);
    expect(saving.body.rollups.rows).toBeGreaterThan(20);
    expect(saving.body.share).toBeGreaterThan(0.2);

    await test.timeseries.rollUpFleets({ part: "all" });
    expect(await ofFleet("acme", "heat", "1m")).toHaveLength(AGES.length);
    await job();
    await until(async () => (await left("acme", "points"))["debug.load"]?.length === 2);
    expect(await ofFleet("acme", "heat", "1m")).toHaveLength(4);
    expect(await ofFleet("acme", "debug.rpm", "1m")).toHaveLength(3);
    expect(await ofFleet("acme", "heat", "1d")).toHaveLength(5);
    const young = [1, 5, 20, 60];
    expect(await left("acme", "points")).toEqual({
      ...{ heat: young, load: young, debug_x: young },
      ...{ "debug.rpm": [1, 5], "debug.load": [1, 5] },
    });
    expect(await left("acme", "telemetry_1m")).toEqual({
      ...{ heat: young, load: young, debug_x: young },
      ...{ "debug.rpm": [1, 5, 20], "debug.load": [1, 5, 20] },
    });
    expect((await left("acme", "telemetry_1d")).heat?.length).toBe(5);
    expect((await left("acme", "telemetry_1d"))["debug.rpm"]?.length).toBe(3);
    // Which keep 90 days of everything.
    for (const table of ["points", "telemetry_1m", "telemetry_1d"] as const) {
      for (const ages of Object.values(await left("globex", table))) expect(ages).toEqual(young);
    }
  });

  it("serve a chart of long ago from the rollups that are kept", async () => {
    const heat = { name: "heat", type: "number", unit: "°C", description: "Of the oil" };
    const declared = { body: { items: [heat] } };
    await test.call("PATCH", "/tenants/acme/products/hub/metrics", declared);
    const query = `series?metric=heat&from=${ago(250)}&to=${ago(150)}`;
    const { body } = await call("GET", query);
    expect(body.resolution.source).toBe("1d");
    expect([body.unit, body.description]).toEqual(["°C", "Of the oil"]);
    expect((await call("GET", `${query}&transform=rate`)).body.unit).toBe("°C/s");
    expect((await call("GET", `${query}&aggregate=count`)).body.unit).toBe("");
    expect(body.series[0].points.map(([, value]: number[]) => value)).toEqual([24]);
  });

  it("leave the chart of one device what rollups there are, and what came just now", async () => {
    const hub = { id: "d1", product: "hub", hardwareRevision: "a" };
    expect((await test.call("POST", "/tenants/acme/devices", { body: hub })).status).toBe(201);
    const chart = async (metric: string, from: number, to = NOON) => {
      const url = `/tenants/acme/devices/d1/telemetry?metric=${metric}&from=${from}&to=${to}&points=400`;
      const { body } = await test.call("GET", url);
      const ages = body.points.map(({ ts }: { ts: number }) => Math.floor((NOON - ts) / DAY));
      return { ...body, ages };
    };
    // Points are kept for 7 days, rollups for 30.
    const month = await chart("debug.rpm", ago(25));
    expect([month.source, month.ages]).toEqual(["1h", [20, 5, 1]]);
    expect(month.kept).toEqual({ points: 7, minutes: 30, hours: 30, days: 30 });
    expect(month.points[0]).toEqual({ ts: ago(20), min: 900, max: 900, mean: 900, count: 1 });
    const year = await chart("heat", ago(300));
    expect([year.source, year.ages]).toEqual(["1d", [200, 60, 20, 5, 1]]);
    const hour = await chart("heat", ago(1) - 60_000, ago(1) + 60_000);
    expect([hour.source, hour.stepMs, hour.ages]).toEqual(["raw", null, [1]]);
    // Not in the rollups yet.
    const columns = new PointColumns();
    for (const [seq, value] of [30, 40].entries()) {
      columns.add("acme", "d1", "heat", ago(2) + seq, seq, value);
    }
    await test.timeseries.insertPoints(columns);
    const now = await chart("heat", ago(300));
    expect(now.ages).toEqual([200, 60, 20, 5, 2, 1]);
    expect(now.points[4]).toEqual({ ts: ago(2), min: 30, max: 40, mean: 35, count: 2 });
    await until(async () => (await test.timeseries.rollUp()).points > 0);
    expect((await chart("heat", ago(300))).points).toEqual(now.points);
    // Of two rows of one minute the later one counts, though they are not merged.
    for (const [seq, value] of [30, 90].entries()) {
      columns.clear();
      columns.add("acme", "d1", "spin", ago(2) + seq, seq, value);
      await test.timeseries.insertPoints(columns);
      await until(async () => (await test.timeseries.rollUp()).points > 0);
    }
    const day = await chart("spin", ago(2) - DAY / 4, ago(2) + DAY / 4);
    expect(day.source).toBe("1m");
    expect(day.points).toEqual([{ ts: ago(2), min: 30, max: 90, mean: 60, count: 2 }]);
  });

  it("hold for what a device brings late, whose rollups stay as they were", async () => {
    const { telemetry } = test.modules;
    const peer = { tenantId: "acme", deviceId: "d1" };
    const sample = (age: number, seq: number) => {
      return { ts: ago(age) + 1_000, seq, values: { heat: 50, "debug.rpm": 50 } };
    };
    const late = [sample(20, 7), sample(100, 8)];
    const { rejected, accepted } = await telemetry.ingestTelemetry(peer, late, Date.now());
    expect(accepted).toBe(1);
    expect(rejected.map(({ metric, sample: of, reason }) => [of, metric, reason])).toEqual([
      [0, "debug.rpm", "beyond-retention"],
      [1, "heat", "beyond-retention"],
      [1, "debug.rpm", "beyond-retention"],
    ]);
    await until(async () => (await test.timeseries.rollUp()).points > 0);
    const minute = await test.timeseries.tenantQuery<{ n: number }>("acme", {
      table: "telemetry_1m",
      select: "max(count) as n",
      where: ["metric = 'heat'", "ts > toDateTime(intDiv({from:Int64}, 1000), 'UTC')"],
      params: { from: ago(21) },
      final: true,
      limit: 1,
    });
    // The two of that minute: the one from before, and the late one.
    expect(minute[0]?.n).toBe(2);
    expect((await left("acme", "telemetry_1d"))["debug.rpm"]?.length).toBe(3);
  });

  it("say what telemetry takes, by table, metric and day", async () => {
    const { body } = await call("GET", "usage", undefined, "globex");
    expect(body.points).toBe(20);
    expect(body.storageClass).toBe("shared");
    const heat = body.metrics.find(({ metric }: { metric: string }) => metric === "heat");
    expect(heat.points).toBe(4);
    // One that was made anew lies there twice until the engine has merged them.
    for (const level of ["minutes", "hours", "days"]) {
      expect(heat.rollups[level]).toBeGreaterThanOrEqual(4);
      expect(heat.rollups[level]).toBeLessThanOrEqual(8);
    }
    expect(heat.kept).toEqual({ points: 90, minutes: 90, hours: 90, days: 90 });
    expect(body.bytesPerPoint).toBeGreaterThan(1);
    expect(body.days.map(({ points }: { points: number }) => points)).toEqual([5, 5, 5]);
    expect(body.tables.every(({ isEstimate }: { isEstimate: boolean }) => isEstimate)).toBe(false);
  });
});

describe("a tenant that is kept apart", () => {
  const partsOf = async (own: string) => {
    const client = createClient({ url: test.engineUrl, database: "vautn" });
    try {
      const result = await client.query({
        query: `select table, sum(rows) as rows from system.parts where active
          and startsWith(partition, {own:String}) group by table order by table`,
        query_params: { own },
        format: "JSONEachRow",
      });
      const rows = await result.json<{ table: string; rows: number }>();
      return Object.fromEntries(rows.map(({ table, rows: count }) => [table, Number(count)]));
    } finally {
      await client.close();
    }
  };

  it("has parts of its own in every table, and its end removes them whole", async () => {
    const body = { id: "umbra", name: "Umbra", storageClass: "separate" };
    const created = await test.call("POST", "/tenants", { body });
    expect([created.status, created.body.storageClass]).toEqual([201, "separate"]);
    // A name that could be taken for the class of all others.
    await test.call("POST", "/tenants", { body: { id: "shared", name: "Shared" } });
    const { telemetry, logs } = test.modules;
    await test.call("POST", "/tenants/umbra/devices", {
      body: { id: "d1", product: "hub", hardwareRevision: "a" },
    });
    for (const tenantId of ["umbra", "shared"]) {
      const peer = { tenantId, deviceId: "d1" };
      const now = Date.now();
      const values = { heat: 1, mode: "on" };
      await telemetry.ingestTelemetry(peer, { ts: now, seq: 1, values }, now);
      await telemetry.ingestEvents(peer, { ts: now, seq: 1, type: "boot" }, now);
      await logs.ingestDeviceLogs(peer, [{ ts: now, seq: 1, level: "info", message: "m" }], now);
    }
    await until(async () => (await test.timeseries.rollUp()).points > 0);
    const own = await partsOf("('tenant/umbra',");
    expect(own).toMatchObject({
      ...{ telemetry: 1, telemetry_texts: 1, device_events: 1, logs: 1 },
      ...{ telemetry_1m: 1, telemetry_1h: 1, telemetry_1d: 1 },
    });
    expect(await partsOf("('tenant/shared',")).toEqual({});
    const inCommon = (tenantId: string) =>
      test.timeseries.tenantQuery(tenantId, {
        ...{ table: "telemetry" as const, select: "value", limit: 10, final: true },
        where: ["storage_class = 'shared'"],
      });
    expect(await inCommon("umbra")).toEqual([]);
    const usage = await call("GET", "usage", undefined, "umbra");
    expect(usage.body.storageClass).toBe("separate");
    const { isEstimate, rows } = usage.body.tables[0];
    expect([isEstimate, rows]).toEqual([false, 1]);

    expect(await inCommon("shared")).toEqual([{ value: 1 }]);
    await test.timeseries.deleteTenant("umbra");
    expect(await partsOf("('tenant/umbra',")).toEqual({});
    await test.timeseries.deleteTenant("shared");
    // Nothing of what others have there went with it.
    expect((await left("globex", "points")).heat?.length).toBe(4);
  });

  it("changes: rows are moved whole, counted, and neither lost nor doubled", async () => {
    await test.call("POST", "/tenants", { body: { id: "mover", name: "Mover" } });
    const { telemetry, logs, tenancy, clock, firmware } = test.modules;
    const peer = { tenantId: "mover", deviceId: "d1" };
    const now = Date.now();
    for (const [seq, ts] of [now, now - 40 * DAY].entries()) {
      await telemetry.ingestTelemetry(peer, { ts, seq, values: { heat: seq } }, now);
    }
    await logs.ingestDeviceLogs(peer, [{ ts: now, seq: 1, level: "info", message: "m" }], now);
    const rolledUp = () => left("mover", "telemetry_1d").then(({ heat }) => heat?.length === 2);
    await until(async () => (await test.timeseries.rollUp()) && rolledUp());
    await test.timeseries.rollUpFleets({ part: "all" });
    const seen = async () => ({
      points: await left("mover", "points"),
      days: await left("mover", "telemetry_1d"),
      fleet: await ofFleet("mover"),
      logs: await test.timeseries.tenantQuery("mover", {
        ...{ table: "logs" as const, select: "message", limit: 10, final: true },
      }),
    });
    const linesOf = async (where: string) =>
      (
        await test.timeseries.tenantQuery("mover", {
          ...{ table: "logs" as const, select: "message", limit: 10, where: [where] },
        })
      ).length;
    const before = await seen();
    expect(before.logs).toHaveLength(1);
    const moved: string[] = [];
    const timeseries = {
      ...test.timeseries,
      copyTenant: (...[id, ...rest]: Parameters<typeof test.timeseries.copyTenant>) => {
        moved.push(id);
        if (id === "hinder") return Promise.reject(new Error("the disk is full"));
        return test.timeseries.copyTenant(id, ...rest);
      },
    };
    const run = (at: number) =>
      moveJob({
        ...{ clock: { ...clock, now: () => at }, logger: silentLogger },
        ...{ tenancy, timeseries, firmware },
      }).run();
    const put = (storageClass: string) =>
      test.call("PUT", "/tenants/mover/storage", { body: { storageClass } });

    const same = await put("shared");
    expect([same.status, same.body.code]).toEqual([409, "conflict"]);
    const begun = await put("separate");
    expect(begun.status).toBe(202);
    expect(begun.body).toMatchObject({ status: "suspended", storageClass: "separate" });
    expect(begun.body.storageMove).toMatchObject({ done: 0 });
    expect((await put("shared")).status).toBe(409);
    const early = await tenancy.tenants.setStatus("mover", "active", SYSTEM_ACTOR);
    expect(early.status).toBe("suspended");
    // What an insert that began before still brings is waited for.
    await run(clock.now());
    expect((await tenancy.tenants.get("mover")).status).toBe("suspended");
    // One whose rows cannot be moved holds up nobody; of one that is to be deleted none is copied.
    await test.call("POST", "/tenants", { body: { id: "hinder", name: "Hinder" } });
    await tenancy.tenants.beginMove("hinder", "separate", SYSTEM_ACTOR);
    await expect(run(clock.now() + 120_000)).rejects.toThrow("1 tenants");
    const endsIn = (span: string) =>
      `update tenants set deletes_at = now() + interval '${span}' where id = 'hinder'`;
    // While all of it lies in both places, readers see it once; before all have looked there, it stays.
    await run(clock.now());
    expect(await partsOf("('tenant/mover',")).toMatchObject({ telemetry: 2, telemetry_1d: 2 });
    expect((await tenancy.tenants.get("mover")).storageMove?.copiedAt).toBeInstanceOf(Date);
    expect(await linesOf("storage_class != ''")).toBe(1);
    expect(await seen()).toEqual(before);
    await ownerRows(test.superuserUrl, endsIn("30 minutes"));
    await run(clock.now() + 120_000);
    expect(moved).toEqual(["hinder", "mover"]);
    await ownerRows(test.superuserUrl, endsIn("30 days"));
    await expect(run(clock.now() + 120_000)).rejects.toThrow("1 tenants");
    await ownerRows(test.superuserUrl, "delete from tenants where id = 'hinder'");
    const after = await tenancy.tenants.get("mover");
    expect([after.status, after.storageMove]).toEqual(["active", null]);
    expect(await seen()).toEqual(before);
    expect(await partsOf("('tenant/mover',")).toMatchObject({ telemetry: 2, telemetry_1d: 2 });
    expect(await linesOf("storage_class = 'shared'")).toBe(0);

    // What is still copied to where it was has not arrived, and nothing of it is removed.
    const move = (progressed = async (_: { done: number }) => {}) =>
      test.timeseries.copyTenant("mover", "shared", progressed);
    await expect(move()).rejects.toThrow(/have arrived/);
    // Rollups that are made meanwhile, with rows of one moment in both places, tell of each point once.
    const rolls = rollupJobs({ tenancy, clock, timeseries: test.timeseries });
    const rollUpNow = async () => {
      for (const { run } of rolls) await run();
      await test.timeseries.rollUpFleets({ part: "all", isMoving: true });
    };
    const counted = async () => {
      const [row] = await test.timeseries.tenantQuery<{ n: number }>("mover", {
        ...{ table: "telemetry_1d" as const, select: "sum(count) as n", limit: 1, final: true },
      });
      return row?.n;
    };
    expect(await counted()).toBe(2);
    await telemetry.ingestTelemetry(peer, { ts: now - 1, seq: 7, values: { heat: 7 } }, now);
    await until(async () => (await test.timeseries.rollUp(["1m"])).points > 0);
    const changedAt = Date.now();
    await tenancy.tenants.beginMove("mover", "shared", SYSTEM_ACTOR);
    await telemetry.ingestTelemetry(peer, { ts: now - 2, seq: 8, values: { heat: 8 } }, now);
    await until(async () => {
      await rollUpNow();
      return (await test.timeseries.rolledUpTo()) > changedAt;
    });
    // Suspended for another reason meanwhile, it stays so.
    await tenancy.tenants.setStatus("mover", "suspended", SYSTEM_ACTOR);
    await expect(
      move(async ({ done }) => {
        if (done === 3) throw new Error("stopped");
      }),
    ).rejects.toThrow("stopped");
    const rolling = async ({ done }: { done: number }) => {
      if (done === 9) await rollUpNow();
    };
    expect(await move(rolling)).toBe(true);
    await tenancy.tenants.endCopy("mover");
    expect(await counted()).toBe(4);
    await test.timeseries.leaveOldPlace("mover", "shared");
    expect(await counted()).toBe(4);
    await tenancy.tenants.endMove("mover", SYSTEM_ACTOR);
    const { status, storageMove } = await tenancy.tenants.get("mover");
    expect([status, storageMove]).toEqual(["suspended", null]);
    const { points, fleet, ...others } = await seen();
    expect(others).toEqual({ days: before.days, logs: before.logs });
    expect(fleet.map(({ n }) => n)).toEqual([1, 3]);
    expect(points.heat).toHaveLength(4);
    expect(await partsOf("('tenant/mover',")).toEqual({});
    await test.timeseries.deleteTenant("mover");
  });

  it("is refused beyond as many as the engine bears, and is no setting", async () => {
    const { tenants } = test.modules.tenancy;
    const set = await test.call("PATCH", "/tenants/acme", { body: { storageClass: "separate" } });
    expect(set.status).toBe(400);
    const unknown = { id: "a1", name: "A", storageClass: "own" };
    expect((await test.call("POST", "/tenants", { body: unknown })).status).toBe(400);
    await ownerRows(
      test.superuserUrl,
      `insert into tenants (id, name, status, settings, created_at, storage_class)
      select 'full-' || n, 'n', 'active', '{}', now(), 'separate' from generate_series(1, 99) n`,
    );
    const body = { id: "one-more", name: "One more", storageClass: "separate" };
    const refused = await test.call("POST", "/tenants", { body });
    expect([refused.status, refused.body.code]).toEqual([429, "quota-exceeded"]);
    expect((await test.call("GET", "/tenants/one-more")).status).toBe(404);
    await ownerRows(
      test.superuserUrl,
      "delete from tenants where id like 'full-%' or id = 'umbra'",
    );
    await tenants.tellKeptApart();
    expect((await test.call("POST", "/tenants", { body })).status).toBe(201);
  });
});
