import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createLogger } from "../src/kernel/logger.ts";
import {
  createTimeseries,
  PointColumns,
  startEmbeddedClickHouse,
} from "../src/timeseries/index.ts";
import { report } from "./report.ts";
import { type AnswerRow, TRUCK_QUESTIONS } from "./tsbs-queries.ts";
import {
  TRUCK_METRICS,
  TRUCK_PRODUCT,
  type TruckMessage,
  type TruckMetric,
  truckMessages,
  trucksOf,
} from "./tsbs-trucks.ts";

const TENANT = "trucks";
const EVERY_MS = 10_000;
const BATCH_ROWS = 10_000;
const RUNS = 5;
const START = Date.UTC(2026, 5, 1);
const LAYOUT = TRUCK_PRODUCT.slots.map(({ name, decimals }) => `${name}=${decimals}`).join(",");

/** TSBS' trucks in, and each of its questions five times. */
export async function measureTrucks(given: { trucks: number; hours: number; seed: number }) {
  const options = { ...given, start: START, everyMs: EVERY_MS };
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-tsbs-"));
  const logger = createLogger({ level: "silent" });
  const engine = await startEmbeddedClickHouse({ directory, logger });
  const timeseries = createTimeseries({ url: engine.url, logger });
  try {
    await timeseries.migrate();
    let columns = new PointColumns();
    let [points, seconds] = [0, 0];
    const write = async () => {
      const from = performance.now();
      await timeseries.insertPoints(columns);
      seconds += (performance.now() - from) / 1_000;
      columns = new PointColumns();
    };
    for (const message of truckMessages(options)) {
      points += addTo(columns, message);
      if (columns.rows >= BATCH_ROWS) await write();
    }
    await write();
    report("TSBS iot, insert", points / seconds, "points/s");
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    while (!(await timeseries.rollUp()).complete);
    const trucks = trucksOf(options);
    const fleet = trucks[0]?.fleet ?? "";
    const about = { trucks, fleet, end: START + options.hours * 3_600_000 };
    for (const { name, query } of TRUCK_QUESTIONS) {
      const times: number[] = [];
      for (let run = 0; run < RUNS; run += 1) {
        const from = performance.now();
        await timeseries.tenantQuery<AnswerRow>(TENANT, query(about));
        times.push(performance.now() - from);
      }
      const median = times.sort((left, right) => left - right)[(RUNS - 1) / 2] as number;
      report(`TSBS iot, ${name}, of ${points.toExponential(1)} points`, median, "ms");
    }
  } finally {
    await timeseries.close();
    await engine.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** Puts a message where the ingest would; how many values it has. */
function addTo({ wide }: PointColumns, { truck, ts, seq, values }: TruckMessage): number {
  wide.begin(TENANT, truck, TRUCK_PRODUCT.product, LAYOUT, ts, seq);
  const entries = Object.entries(values) as [TruckMetric, number][];
  for (const [metric, value] of entries) {
    const index = TRUCK_METRICS.indexOf(metric);
    const { decimals = 0 } = TRUCK_PRODUCT.slots[index] ?? {};
    wide.set(index + 1, Math.round(value * 10 ** decimals));
  }
  return entries.length;
}
