/**
 * How fast points become durable and how little room they take: our store through its local endpoint,
 * from JavaScript objects, against PostgreSQL 18 on the same machine in the same interleaved run. Both
 * sync each batch to disk.
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { createClient } from "@clickhouse/client";
import { pino } from "pino";
import { startPostgres } from "../src/db/index.ts";
import { createTelemetry } from "../src/telemetry/index.ts";
import { createTimeseries, startEmbeddedClickHouse } from "../src/timeseries/index.ts";
import { PostgresPoints } from "./postgres-points.ts";
import { DAY_MS, pointBatches, START } from "./telemetry-points.ts";

const { values: flags } = parseArgs({
  options: {
    devices: { type: "string", default: "20" },
    batch: { type: "string", default: "50000" },
    repeats: { type: "string", default: "25" },
  },
});
const DEVICES = Number(flags.devices);
const BATCH = Number(flags.batch);
const REPEATS = Number(flags.repeats);

const RIVALS = [
  ["copy binary", "PostgreSQL 18 COPY binary, no index"],
  ["copy text", "PostgreSQL 18 COPY text, no index"],
  ["idempotent", "PostgreSQL 18 insert on conflict do nothing, keyed"],
] as const;

const logger = pino({ level: "silent" });
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-"));
const seconds: Record<string, number> = {};

async function timed(name: string, work: () => Promise<void>): Promise<void> {
  const started = performance.now();
  await work();
  seconds[name] = (seconds[name] ?? 0) + (performance.now() - started) / 1000;
}

async function medianMs(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index < REPEATS; index += 1) {
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
  }
  return times.sort((left, right) => left - right)[REPEATS >>> 1] as number;
}

/** `ratio` says how many times better ours is than what it is set `against`. */
function print(name: string, value: number, unit: string, ratio?: number, against?: string): void {
  const round = (number: number) => Number(number.toPrecision(4));
  const extra = ratio === undefined ? {} : { ratio: round(ratio), against };
  console.log(JSON.stringify({ name, value: round(value), unit, ...extra }));
}

const engine = await startEmbeddedClickHouse({ directory: path.join(directory, "ch"), logger });
const postgres = await startPostgres({ directory: path.join(directory, "pg") });
const timeseries = createTimeseries({ url: engine.url, logger });
const raw = createClient({ url: engine.url, database: "vautn" });
const points = await PostgresPoints.open(postgres.superuserUrl);
try {
  await timeseries.migrate();
  let count = 0;
  for (const rows of pointBatches(DEVICES, BATCH)) {
    count += rows.length;
    await timed("ours", () => timeseries.insert("telemetry", rows));
    await timed("copy binary", () => points.copyBinary("heap_binary", rows));
    await timed("copy text", () => points.copyText("heap_text", rows));
    await timed("idempotent", () => points.insertIdempotent("keyed", rows));
  }
  const rate = (name: string) => count / (seconds[name] as number);
  for (const [rival, against] of RIVALS) {
    print("insert from objects", rate("ours"), "points/s", rate("ours") / rate(rival), against);
    print(against, rate(rival), "points/s");
  }

  await raw.command({ query: "OPTIMIZE TABLE telemetry FINAL" });
  const parts = await raw.query({
    query: `SELECT sum(bytes_on_disk) / sum(rows) AS bytes FROM system.parts
      WHERE active AND database = 'vautn' AND table = 'telemetry'`,
    format: "JSONEachRow",
  });
  const [size] = await parts.json<{ bytes: number }>();
  const ours = size?.bytes ?? Number.NaN;
  const theirs = await points.bytesPerPoint("keyed");
  print("room, narrow rows", ours, "bytes/point", theirs / ours, "PostgreSQL 18, keyed table");

  const telemetry = createTelemetry({ timeseries, clock: { now: Date.now, after: () => never() } });
  const query = { deviceId: "device-7", metric: "voltage", from: START, to: START + DAY_MS };
  const read = await medianMs(() => telemetry.series("bench", { ...query, maxPoints: 600 }));
  const rival = await medianMs(() => points.series("keyed", query, 600));
  print("one device, one day, 600 buckets", read, "ms", rival / read, "PostgreSQL 18, keyed table");
} finally {
  await points.close();
  await raw.close();
  await timeseries.close();
  await postgres.stop();
  await engine.stop();
  fs.rmSync(directory, { recursive: true, force: true });
}

function never(): { cancel(): void } {
  return { cancel() {} };
}
