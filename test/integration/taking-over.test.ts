import { setTimeout } from "node:timers/promises";
import { type ClickHouseClient, createClient } from "@clickhouse/client";
import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { ROLLUP_LEVELS, type TelemetryRow } from "../../src/timeseries/index.ts";
import { readProgress, writeProgress } from "../../src/timeseries/rollup-progress.ts";
import { takeOver } from "../../src/timeseries/taking-over.ts";
import { createTestTimeseries, silentLogger, type TestTimeseries } from "../support/timeseries.ts";

const START = Date.UTC(2026, 5, 10, 11, 58);
const HOURS = 30;
const TENANT = "acme";

let store: TestTimeseries;
let client: ClickHouseClient;
beforeAll(async () => {
  store = await createTestTimeseries();
  client = createClient({ url: store.engine.url, database: "vautn" });
  await store.timeseries.keepApart(["zeta"]);
  await store.timeseries.insert("telemetry", points());
  await settled();
});
afterAll(async () => {
  await client.close();
  await store.close();
});

function points(): TelemetryRow[] {
  const at = (hour: number) => START + hour * 3_600_000;
  return [TENANT, "zeta"].flatMap((tenantId) =>
    Array.from({ length: HOURS * 6 }, (_, index) => ({
      ...{ tenantId, deviceId: `d${index % 3}`, metric: index % 2 ? "load" : "heat" },
      ...{ ts: at(index % HOURS), seq: 1, value: index },
    })),
  );
}

async function command(query: string): Promise<void> {
  await client.command({ query });
}

async function rows<Row>(query: string): Promise<Row[]> {
  return (await client.query({ query, format: "JSONEachRow" })).json<Row>();
}

/** Until the rollups have seen every point that is there. */
async function settled(): Promise<void> {
  await vi.waitFor(
    async () => {
      await store.timeseries.rollUp();
      const [counts] = await rows<{ points: string; rolled: string }>(
        `select (select count() from telemetry final) as points,
           (select sum(count) from telemetry_1d final) as rolled`,
      );
      expect(counts?.rolled).toBe(counts?.points);
    },
    { timeout: 45_000, interval: 200 },
  );
}

/** All that a level holds, whatever its order, but for the pass. */
function contents(level: string) {
  return rows(
    `select storage_class, tenant_id, device_id, metric, ts, count, min, max, sum, first, last, first_ts,
       last_ts, hex(toString(sketch)) as sketch from telemetry_${level} final
     order by storage_class, tenant_id, device_id, metric, ts`,
  );
}

async function everything() {
  const all = await Promise.all(ROLLUP_LEVELS.map(contents));
  expect(all.every((level) => level.length > 0)).toBe(true);
  return all;
}

async function names(): Promise<string[]> {
  const found = await rows<{ name: string }>(
    `select name from system.tables where database = 'vautn' and name like 'telemetry\\_1%'
     order by name`,
  );
  return found.map(({ name }) => name);
}

const keyOf = async (table: string) =>
  (
    await rows<{ sorting_key: string }>(
      `select sorting_key from system.tables where database = 'vautn' and name = '${table}'`,
    )
  )[0]?.sorting_key;

const copied = async (table: string, where = "") => {
  const columns = await rows<{ name: string }>(
    `select name from system.columns where database = 'vautn' and table = '${table}'`,
  );
  const list = columns.map(({ name }) => name).join(", ");
  await command(`insert into ${table}_next (${list}) select ${list} from ${table} final ${where}`);
};

/** The table as it was before its key was changed, with all its rows, and the one that is to follow. */
async function asBefore(level: string): Promise<void> {
  const table = `telemetry_${level}`;
  const ordered = (by: string) =>
    command(`create table ${table}_next as ${table} engine = ReplacingMergeTree(pass)
      partition by (storage_class, toYYYYMM(ts)) order by (${by}) comment 'takes over'`);
  await ordered("tenant_id, device_id, metric, ts");
  await copied(table);
  await command(`exchange tables ${table} and ${table}_next`);
  await command(`alter table ${table} modify comment ''`);
  await command(`drop table ${table}_next sync`);
  await ordered("tenant_id, metric, toMonday(ts), device_id, ts");
}

/** A client that does as `work` likes where the tables change their names. */
function atExchange(work: (exchange: () => Promise<unknown>) => Promise<void>): ClickHouseClient {
  return new Proxy(client, {
    get(target, name, receiver) {
      if (name !== "command") return Reflect.get(target, name, receiver);
      return (given: { query: string }) => {
        const exchange = () => target.command(given);
        return given.query.startsWith("EXCHANGE") ? work(exchange) : exchange();
      };
    },
  });
}

beforeEach(async () => {
  expect(await names()).toEqual(["telemetry_1d", "telemetry_1h", "telemetry_1m"]);
});

it("orders the rollups by metric and time, on a new database too", async () => {
  expect(await keyOf("telemetry_1m")).toBe(
    "tenant_id, metric, toStartOfInterval(ts, toIntervalHour(6)), device_id, ts",
  );
  expect(await keyOf("telemetry_1h")).toBe("tenant_id, metric, toMonday(ts), device_id, ts");
  expect(await keyOf("telemetry_1d")).toBe("tenant_id, metric, device_id, ts");
});

it("keeps every row, and each in its storage class", async () => {
  const before = await everything();
  for (const level of ROLLUP_LEVELS) await asBefore(level);
  await store.timeseries.migrate();
  expect(await everything()).toEqual(before);
  expect(await keyOf("telemetry_1d")).toBe("tenant_id, metric, toMonday(ts), device_id, ts");
  const classes = await rows<{ storage_class: string; tenant_id: string }>(
    "select distinct storage_class, tenant_id from telemetry_1h order by tenant_id",
  );
  expect(classes).toEqual([
    { storage_class: "shared", tenant_id: TENANT },
    { storage_class: "tenant/zeta", tenant_id: "zeta" },
  ]);
});

it("goes on where it was killed in the middle of the copy", async () => {
  const before = await everything();
  await asBefore("1m");
  await copied("telemetry_1m", "where metric = 'load'");
  await store.timeseries.migrate();
  expect(await everything()).toEqual(before);
});

it("goes on where it was killed before the old table was removed", async () => {
  const before = await everything();
  await asBefore("1h");
  await copied("telemetry_1h");
  await command("exchange tables telemetry_1h and telemetry_1h_next");
  await store.timeseries.migrate();
  expect(await everything()).toEqual(before);
  expect(await keyOf("telemetry_1h")).toBe("tenant_id, metric, toMonday(ts), device_id, ts");
});

it("is done once by two that begin at once", async () => {
  const before = await everything();
  for (const level of ROLLUP_LEVELS) await asBefore(level);
  await Promise.all([store.timeseries.migrate(), store.timeseries.migrate()]);
  expect(await everything()).toEqual(before);
});

it("changes the names once, whoever else is about to", async () => {
  await asBefore("1d");
  const came = Promise.withResolvers<void>();
  const changed = Promise.withResolvers<void>();
  const changedAgain = Promise.withResolvers<void>();
  // Where both could come to it, both would have looked before either changed anything.
  const second = atExchange(async (exchange) => {
    came.resolve();
    await changed.promise;
    await exchange();
    changedAgain.resolve();
  });
  let others: Promise<void> | undefined;
  const first = atExchange(async (exchange) => {
    others = takeOver(second, silentLogger);
    await Promise.race([came.promise, setTimeout(1_000)]);
    await exchange();
    changed.resolve();
    await Promise.race([changedAgain.promise, setTimeout(500)]);
  });
  await takeOver(first, silentLogger);
  expect(others).toBeDefined();
  await others;
  expect(await keyOf("telemetry_1d")).toBe("tenant_id, metric, toMonday(ts), device_id, ts");
});

it("does not wait for one that was killed while it changed the names", async () => {
  await asBefore("1d");
  await command(`create table telemetry_taking_over (at UInt8) engine = MergeTree order by at
    comment '${Date.now() - 600_000}'`);
  await takeOver(client, silentLogger);
  expect(await keyOf("telemetry_1d")).toBe("tenant_id, metric, toMonday(ts), device_id, ts");
});

it("computes once more what somebody else wrote into the old table meanwhile", async () => {
  await asBefore("1h");
  await store.timeseries.insert("telemetry", [
    { ...(points()[0] as TelemetryRow), ts: START + 1, value: 1_000_000 },
  ]);
  await settled();
  const before = await everything();
  // As if the copy had been made before that.
  await copied("telemetry_1h", "where max < 1000000");
  await command("alter table telemetry_1h delete where max = 1000000 settings mutations_sync = 1");
  await store.timeseries.migrate();
  await settled();
  expect(await everything()).toEqual(before);
});

it("computes once more what somebody else has taken from a backlog into the old table meanwhile", async () => {
  const before = await everything();
  await asBefore("1m");
  const minutesAgo = (minutes: number) => Date.now() - minutes * 60_000;
  const known = (await readProgress(client)).get("1m");
  await writeProgress(client, "1m", {
    ...{ pass: (known?.pass ?? 0) + 1, receivedUntil: minutesAgo(20), sourcePass: 0 },
  });
  await client.insert({
    table: "telemetry",
    columns: ["tenant_id", "device_id", "metric", "ts", "seq", "value", "received_at"],
    values: [[TENANT, "d9", "heat", START, 1, 7, minutesAgo(10)]],
    format: "JSONCompactEachRow",
  });
  const meanwhile = atExchange(async (exchange) => {
    await store.timeseries.rollUp();
    await exchange();
  });
  await takeOver(meanwhile, silentLogger);
  await settled();
  const after = await everything();
  expect(after.map(({ length }) => length)).toEqual(before.map(({ length }) => length + 1));
});

it("computes once more what a pass was about to write that ends after the tables have changed", async () => {
  await asBefore("1h");
  // Another machine's: it writes into the table that goes, and says afterwards how far it has come.
  const pass = Date.now();
  await store.timeseries.insert("telemetry", [
    { ...(points()[0] as TelemetryRow), deviceId: "d8" },
  ]);
  await takeOver(client, silentLogger);
  await writeProgress(client, "1m", { pass, receivedUntil: Date.now() + 1, sourcePass: 0 });
  await settled();
});
