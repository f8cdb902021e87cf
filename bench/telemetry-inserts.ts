import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createClient } from "@clickhouse/client";
import { startPostgres } from "../src/db/index.ts";
import { createLogger } from "../src/kernel/logger.ts";
import {
  createTimeseries,
  PointColumns,
  startEmbeddedClickHouse,
  type TelemetryRow,
} from "../src/timeseries/index.ts";
import { PostgresPoints } from "./postgres-points.ts";
import { cpuMsOf } from "./process-figures.ts";
import { report } from "./report.ts";
import { METRICS, pointBatches } from "./telemetry-points.ts";

const LAYOUT = METRICS.map((name) => `${name}=2`).join(",");

export function narrow(
  rows: readonly TelemetryRow[],
  columns: PointColumns,
  tenantId = "bench",
): PointColumns {
  for (const { deviceId, metric, ts, seq, value } of rows) {
    columns.add(tenantId, deviceId, metric, ts, seq, value);
  }
  return columns;
}

function wide(rows: readonly TelemetryRow[], columns: PointColumns): PointColumns {
  for (let row = 0; row < rows.length; row += METRICS.length) {
    const { tenantId, deviceId, ts, seq } = rows[row] as TelemetryRow;
    columns.wide.begin(tenantId, deviceId, "hub", LAYOUT, ts, seq);
    for (let slot = 1; slot <= METRICS.length; slot += 1) {
      columns.wide.set(slot, Math.round((rows[row + slot - 1] as TelemetryRow).value * 100));
    }
  }
  return columns;
}

/** Inserts of the same points, in turn, each on its own; then what they take on the disk. */
export async function measureInserts(options: { devices: number; batch: number }): Promise<void> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-"));
  const logger = createLogger({ level: "silent" });
  const engine = await startEmbeddedClickHouse({ directory: path.join(directory, "ch"), logger });
  const postgres = await startPostgres({ directory: path.join(directory, "pg") });
  const timeseries = createTimeseries({ url: engine.url, logger });
  const raw = createClient({ url: engine.url, database: "vautn" });
  const points = await PostgresPoints.open(postgres.superuserUrl);
  const spent = new Map<string, { seconds: number; cpuMs: number }>();
  const timed = async (name: string, work: () => Promise<unknown>) => {
    const [started, cpu] = [performance.now(), cpuMsOf(process.pid)];
    await work();
    const sum = spent.get(name) ?? { seconds: 0, cpuMs: 0 };
    sum.seconds += (performance.now() - started) / 1_000;
    sum.cpuMs += cpuMsOf(process.pid) - cpu;
    spent.set(name, sum);
  };
  try {
    await timeseries.migrate();
    let count = 0;
    // Filled again and again, as the ingest does it; they are free when an insert has begun.
    const columns = new PointColumns();
    const insert = async (points: PointColumns) => {
      const inserted = timeseries.insertPoints(points);
      points.clear();
      await inserted;
    };
    for (const rows of pointBatches(options.devices, options.batch)) {
      count += rows.length;
      const prebuilt = narrow(rows, new PointColumns(), "prebuilt").encode();
      await timed("narrow rows", () => insert(narrow(rows, columns)));
      await timed("wide rows", () => insert(wide(rows, columns)));
      await timed("prebuilt Native", async () => {
        for (const { target, block } of prebuilt) await timeseries.insertBlocks(target, [block]);
      });
      await timed("PostgreSQL COPY binary, no index", () => points.copyBinary("heap_binary", rows));
      await timed("PostgreSQL on conflict do nothing", () =>
        points.insertIdempotent("keyed", rows),
      );
    }
    const secondsOf = (name: string) => spent.get(name)?.seconds ?? Number.NaN;
    const rate = (name: string) => count / secondsOf(name);
    for (const ours of ["narrow rows", "wide rows"]) {
      report(`insert from objects, ${ours}`, rate(ours), "points/s");
      for (const [rival] of spent) {
        if (rival.endsWith("rows")) continue;
        report(
          `insert from objects, ${ours}`,
          rate(ours),
          "points/s",
          rival,
          rate(ours) / rate(rival),
        );
      }
    }
    for (const [name, { cpuMs }] of spent) {
      report(`insert, CPU of all processes, ${name}`, (cpuMs * 1_000) / count, "µs/point");
    }
    for (const table of ["telemetry", "telemetry_wide"]) {
      await raw.command({ query: `OPTIMIZE TABLE ${table} FINAL` });
      const answer = await raw.query({
        query: `SELECT sum(bytes_on_disk) AS bytes FROM system.parts
          WHERE active AND database = 'vautn' AND table = '${table}'`,
        format: "JSONEachRow",
      });
      const [size] = await answer.json<{ bytes: number }>();
      // The table of narrow rows holds the points of another tenant as well.
      const held = table === "telemetry" ? count * 2 : count;
      const ours = Number(size?.bytes) / held;
      const theirs = await points.bytesPerPoint("keyed");
      report(`room, ${table}`, ours, "bytes/point", "PostgreSQL, keyed table", theirs / ours);
    }
  } finally {
    await points.close();
    await raw.close();
    await timeseries.close();
    await postgres.stop();
    await engine.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}
