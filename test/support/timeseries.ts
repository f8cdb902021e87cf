import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pino } from "pino";
import {
  createTimeseries,
  type EmbeddedClickHouse,
  startEmbeddedClickHouse,
  type Timeseries,
} from "../../src/timeseries/index.ts";

export const silentLogger = pino({ level: "silent" });

export interface TestTimeseries {
  engine: EmbeddedClickHouse;
  timeseries: Timeseries;
  directory: string;
  close(): Promise<void>;
}

/** The real ClickHouse engine in a child process, on a folder that goes with it. */
export async function createTestTimeseries(): Promise<TestTimeseries> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-clickhouse-"));
  const engine = await startEmbeddedClickHouse({ directory, logger: silentLogger });
  const timeseries = createTimeseries({ url: engine.url, logger: silentLogger });
  await timeseries.migrate();
  return {
    engine,
    timeseries,
    directory,
    async close() {
      await timeseries.close();
      await engine.stop();
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}
