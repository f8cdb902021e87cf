import fs from "node:fs";
import {
  type ClickHouseClient,
  ClickHouseError,
  ClickHouseLogLevel,
  createClient,
} from "@clickhouse/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AppError } from "../../src/kernel/errors.ts";
import { createTimeseries, startEmbeddedClickHouse } from "../../src/timeseries/index.ts";
import { spoolCandidates } from "../../src/timeseries/spool.ts";
import { createTestTimeseries, silentLogger, type TestTimeseries } from "../support/timeseries.ts";

// The refusals that are expected here would fill the output.
const quiet = { level: ClickHouseLogLevel.OFF };

let store: TestTimeseries;
let client: ClickHouseClient;

beforeAll(async () => {
  store = await createTestTimeseries();
  client = createClient({ url: store.engine.url, database: "vautn", log: quiet });
});
afterAll(async () => {
  await client.close();
  await store.close();
});

const point = (seq: number, extra = {}) => ({
  tenantId: "acme",
  deviceId: "d1",
  metric: "load",
  ts: 1_790_000_000_000 + seq,
  seq,
  value: seq / 2,
  ...extra,
});

async function count(where = "1"): Promise<number> {
  const query = `SELECT count() AS n FROM telemetry FINAL WHERE ${where}`;
  const [row] = await (await client.query({ query, format: "JSONEachRow" })).json<{ n: number }>();
  return row?.n ?? -1;
}

describe("the embedded ClickHouse engine", () => {
  it("serves the unmodified client: ping, definitions, inserts, bound parameters", async () => {
    expect(await client.ping()).toEqual({ success: true });
    await client.command({
      query: "CREATE TABLE plain (a String, n Int64) ENGINE = MergeTree ORDER BY a",
    });
    const nasty = "it's \n\n; DROP TABLE plain -- \\ \t \u0000 üñ😀";
    await client.insert({
      table: "plain",
      values: [{ a: nasty, n: 1 }],
      columns: ["a", "n"],
      format: "JSONEachRow",
    });
    const result = await client.query({
      query: "SELECT a, n FROM plain WHERE a = {a:String} AND has({l:Array(String)}, a)",
      query_params: { a: nasty, l: ["x'", nasty] },
      format: "JSONEachRow",
    });
    expect(await result.json()).toEqual([{ a: nasty, n: 1 }]);
  });

  it("gives typed errors", async () => {
    const error = await client.query({ query: "SELECT * FROM nowhere" }).catch((cause) => cause);
    expect(error).toBeInstanceOf(ClickHouseError);
    expect(error).toMatchObject({ code: "60", type: "UNKNOWN_TABLE" });
  });

  it("takes rows that look like SQL for rows: nothing in a body is run", async () => {
    await client.command({
      query: "CREATE TABLE victim (a String) ENGINE = MergeTree ORDER BY a",
    });
    const bodies = [
      '{"a":"x"}\n\n; DROP TABLE victim',
      "\n\nDROP TABLE victim\n",
      '{"a":"x"}\n\nDROP TABLE victim;\n{"a":"y"}',
    ];
    for (const body of bodies) {
      const url = new URL(store.engine.url);
      url.searchParams.set("database", "vautn");
      url.searchParams.set("query", "INSERT INTO victim (a) FORMAT JSONEachRow");
      const authorization = `Basic ${btoa(`${url.username}:${url.password}`)}`;
      url.username = url.password = "";
      const response = await fetch(url, { method: "POST", body, headers: { authorization } });
      expect(response.headers.get("x-clickhouse-exception-code")).toMatch(/^\d+$/);
    }
    const result = await client.query({ query: "EXISTS TABLE victim", format: "JSONEachRow" });
    expect(await result.json()).toEqual([{ result: 1 }]);
  });

  it.each([
    "SELECT file('/etc/passwd')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV')",
    "SELECT 1 INTO OUTFILE '/tmp/vautn-outfile'",
    "DROP USER default",
  ])("refuses %s", async (query) => {
    await expect(client.command({ query })).rejects.toMatchObject({ type: "ACCESS_DENIED" });
  });

  it("holds readers to reading even where a statement got past the list", async () => {
    const query = "EXPLAIN AST DROP TABLE telemetry";
    await client.query({ query, format: "JSONEachRow" });
    const settings = { max_execution_time: 600 };
    await expect(
      client.query({ query: "SELECT 1", clickhouse_settings: settings }),
    ).rejects.toMatchObject({ code: "452" });
    await expect(
      client.query({ query: "SELECT 1 SETTINGS max_execution_time = 600" }),
    ).rejects.toMatchObject({ type: "ACCESS_DENIED" });
    await expect(
      client.query({ query: "SELECT 1", clickhouse_settings: { max_rows_to_read: "0" } }),
    ).rejects.toMatchObject({ code: "452" });
    await expect(
      client.query({
        query: "SELECT count() FROM numbers(1000000) WHERE number % 2",
        clickhouse_settings: { max_rows_to_read: "1000" },
      }),
    ).rejects.toMatchObject({ type: "TOO_MANY_ROWS" });
    await expect(
      client.query({
        query: "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)",
        clickhouse_settings: { max_execution_time: 1 },
      }),
    ).rejects.toMatchObject({ type: "TIMEOUT_EXCEEDED" });
  });

  it("takes parameters that are too long for an address", async () => {
    const ids = Array.from(
      { length: 20_000 },
      (_, index) => `device-${index}-'\\\r\n--${"x".repeat(20)}`,
    );
    const result = await client.query({
      query: "SELECT length({ids:Array(String)}) AS n, {ids:Array(String)}[2] AS second",
      query_params: { ids },
      use_multipart_params_auto: true,
      format: "JSONEachRow",
    });
    expect(await result.json()).toEqual([{ n: 20_000, second: ids[1] }]);
  });

  it("answers beside a query that takes long, and each with its own values", async () => {
    const ask = async (values: { seconds: number; x: string; nth: number }) => {
      const result = await client.query({
        query: "SELECT {x:String} AS x, {nth:Float64} AS nth, sleep({seconds:Float64}) AS slept",
        query_params: values,
        format: "JSONEachRow",
      });
      return result.json();
    };
    let longIsDone = false;
    const long = ask({ seconds: 1.5, x: "long", nth: 0 }).finally(() => {
      longIsDone = true;
    });
    const short = await Promise.all(
      [1, 2, 3, 4].map((nth) => ask({ seconds: 0, x: "short", nth })),
    );
    expect(longIsDone).toBe(false);
    expect(short).toEqual([1, 2, 3, 4].map((nth) => [{ x: "short", nth, slept: 0 }]));
    expect(await long).toEqual([{ x: "long", nth: 0, slept: 0 }]);
  });

  it("keeps what a failed query had answered already from the next one, whosever it is", async () => {
    const query = "SELECT number, throwIf(number = 200000) FROM numbers(300000)";
    for (let turn = 0; turn < 2; turn += 1) {
      await expect(client.query({ query, format: "JSONEachRow" })).rejects.toThrow("throwIf");
      const next = await client.query({ query: "SELECT 1 AS a", format: "JSONEachRow" });
      expect(await next.json()).toEqual([{ a: 1 }]);
      const bound = { query: "SELECT {x:String} AS a", query_params: { x: "b" } };
      const third = await client.query({ ...bound, format: "JSONEachRow" });
      expect(await third.json()).toEqual([{ a: "b" }]);
    }
  });

  it("knows its users and bounds its bodies", async () => {
    const url = store.engine.url.replace(/:[^:@]+@/, ":wrong@");
    const stranger = createClient({ url, log: quiet });
    await expect(stranger.query({ query: "SELECT 1" })).rejects.toMatchObject({ code: "516" });
    await stranger.close();
    const huge = "x".repeat(70 * 1024 ** 2);
    await expect(
      client.insert({ table: "plain", values: [{ a: huge, n: 1 }], format: "JSONEachRow" }),
    ).rejects.toThrow();
    expect((await client.ping()).success).toBe(true);
  });

  it("is taken by one process at a time", async () => {
    const options = { directory: store.directory, logger: silentLogger, lockTimeoutMs: 300 };
    await expect(startEmbeddedClickHouse(options)).rejects.toThrow(/in use by another process/);
  });

  const inserted = async (rows: ReturnType<typeof point>[]) => {
    try {
      await store.timeseries.insert("telemetry", rows);
      return true;
    } catch (error) {
      if (error instanceof AppError && error.code === "unavailable") return false;
      throw error;
    }
  };

  it("loses nothing that it acknowledged when it is killed in mid-insert", async () => {
    const acknowledged: number[] = [];
    let sequence = 0;
    let running = true;
    const writer = (async () => {
      while (running) {
        const rows = Array.from({ length: 500 }, () => point(sequence++, { deviceId: "killed" }));
        // On a busy machine the engine is away for longer than an insert waits: sent again, as the ingest does.
        while (!(await inserted(rows))) await new Promise((resolve) => setTimeout(resolve, 20));
        acknowledged.push(...rows.map((row) => row.seq));
      }
    })();
    for (let round = 0; round < 3; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      const { pid } = store.engine;
      process.kill(pid, "SIGKILL");
      while (store.engine.pid === pid) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    running = false;
    await writer;
    expect(acknowledged.length).toBeGreaterThan(0);
    expect(await count("device_id = 'killed'")).toBe(acknowledged.length);
    const query = "SELECT seq FROM telemetry FINAL WHERE device_id = 'killed' ORDER BY seq";
    const rows = await client.query({ query, format: "JSONCompactEachRow" });
    expect((await rows.json<[number]>()).map(([seq]) => seq)).toEqual(acknowledged);
  });

  it("leaves no request body behind", () => {
    const spool = spoolCandidates(store.directory).find((place) => fs.existsSync(place));
    expect(fs.readdirSync(spool as string)).toEqual([]);
  });
});

describe("the time-series store", () => {
  it("counts rows that are delivered twice once", async () => {
    const rows = [point(1, { deviceId: "twice" }), point(2, { deviceId: "twice" })];
    await store.timeseries.insert("telemetry", rows);
    await store.timeseries.insert("telemetry", [...rows, point(3, { deviceId: "twice" })]);
    expect(await count("device_id = 'twice'")).toBe(3);
  });

  it("takes a batch that spans decades", async () => {
    const rows = Array.from({ length: 300 }, (_, month) =>
      point(month, { deviceId: "old", ts: Date.UTC(2001, month) }),
    );
    await store.timeseries.insert("telemetry", rows);
    expect(await count("device_id = 'old'")).toBe(300);
  });

  it("shows a tenant nothing of another's, and removes a tenant whole", async () => {
    await store.timeseries.insert("telemetry", [
      point(1, { tenantId: "north", deviceId: "shared-name" }),
      point(2, { tenantId: "south", deviceId: "shared-name" }),
    ]);
    const read = (tenantId: string) =>
      store.timeseries.tenantQuery<{ seq: number }>(tenantId, {
        table: "telemetry",
        select: "seq",
        where: ["device_id = 'shared-name' or 1 = 1"],
        limit: 10,
      });
    expect(await read("north")).toEqual([{ seq: 1 }]);
    await store.timeseries.deleteTenant("north");
    expect(await read("north")).toEqual([]);
    expect(await read("south")).toEqual([{ seq: 2 }]);
  });

  it("says that it is unavailable when the engine is away", async () => {
    const away = createTimeseries({ url: "http://127.0.0.1:9", logger: silentLogger });
    await expect(away.ping()).rejects.toMatchObject({ code: "unavailable" });
    await expect(
      away.tenantQuery("acme", { table: "logs", select: "seq", limit: 1 }),
    ).rejects.toMatchObject({ code: "unavailable" });
    await away.close();
  });
});
