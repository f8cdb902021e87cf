import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createLogger } from "../src/kernel/logger.ts";
import { createTelemetry } from "../src/telemetry/index.ts";
import { deviceSeries } from "../src/telemetry-queries/device-series.ts";
import { readLatestPage } from "../src/telemetry-queries/latest-store.ts";
import { querySeries, type SeriesDeps } from "../src/telemetry-queries/series.ts";
import type { SeriesQuery } from "../src/telemetry-queries/types.ts";
import {
  createTimeseries,
  PointColumns,
  startEmbeddedClickHouse,
  type Timeseries,
} from "../src/timeseries/index.ts";
import { report } from "./report.ts";
import { narrow } from "./telemetry-inserts.ts";
import { DAY_MS, METRICS, pointBatches } from "./telemetry-points.ts";

export const GROWTH_TENANT = "growth";
export const EVERY_MS = 2_000;
export const DAYS = 2;
/** Points of one device: a larger fleet is what grows, and not the time that a chart shows. */
export const DEVICE_POINTS = ((DAYS * DAY_MS) / EVERY_MS) * METRICS.length;
/** A midnight, so that days are whole. */
export const GROWTH_START = Date.UTC(2026, 5, 1);
/** What is there of the points, in the folder itself. */
export const MADE = "made.json";
export const devicesOf = (points: number) => Math.max(1, Math.round(points / DEVICE_POINTS));
const END = GROWTH_START + DAYS * DAY_MS;
const RUNS = 9;
const MAX_PASSES = 2_000;
const INSERTS = 10;
const BATCH = 50_000;

/** Where the points of a size are kept for the next time, and how long making them may take at once. */
export interface GrowthData {
  /** Absent: a folder for this run alone. */
  directory?: string | undefined;
  /** Only makes what is missing, for so many seconds. */
  prepareSeconds?: number | undefined;
}

/** At each size: how fast points come in beside what is there, and how long a dashboard's questions take. */
export async function measureGrowth(sizes: readonly number[], data: GrowthData): Promise<void> {
  for (const size of sizes) await measureSize(size, data);
}

async function measureSize(size: number, { directory: kept, prepareSeconds }: GrowthData) {
  const directory = kept
    ? path.join(path.resolve(kept), size.toExponential(0))
    : fs.mkdtempSync(path.join(os.tmpdir(), "vautn-growth-"));
  fs.mkdirSync(directory, { recursive: true });
  const deadline = Date.now() + (prepareSeconds ?? Number.POSITIVE_INFINITY) * 1_000;
  try {
    await withStore(directory, (timeseries) => timeseries.migrate());
    const isThere = makePoints(directory, size, deadline);
    await withStore(directory, async (timeseries) => {
      const started = performance.now();
      const isRolledUp = isThere && (await rollUpAll(timeseries, deadline));
      if (!isRolledUp) report(`at ${size.toExponential(0)} points, still to be made`, 1, "");
      else if (prepareSeconds === undefined) {
        const seconds = (performance.now() - started) / 1_000;
        await measureOn(timeseries, size, seconds);
      }
    });
  } finally {
    if (!kept) fs.rmSync(directory, { recursive: true, force: true });
  }
}

async function withStore(directory: string, work: (timeseries: Timeseries) => Promise<unknown>) {
  const logger = createLogger({ level: "silent" });
  const engine = await startEmbeddedClickHouse({ directory, logger });
  const timeseries = createTimeseries({ url: engine.url, logger });
  try {
    await work(timeseries);
  } finally {
    await timeseries.close();
    await engine.stop();
  }
}

/** In a process of its own; false where the time was not enough. */
function makePoints(directory: string, size: number, deadline: number): boolean {
  const script = path.join(import.meta.dirname, "telemetry-growth-data.ts");
  const args = [script, directory, String(size), String(deadline)];
  const made = spawnSync(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  if (made.status !== 0) throw new Error("the data could not be made");
  const { devices } = JSON.parse(fs.readFileSync(path.join(directory, MADE), "utf8"));
  return devices >= devicesOf(size);
}

async function rollUpAll(timeseries: Timeseries, deadline: number): Promise<boolean> {
  // What came within the last second is for the next pass.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  for (let pass = 0; pass < MAX_PASSES && Date.now() < deadline; pass += 1) {
    if ((await timeseries.rollUp()).complete) return rollUpFleets(timeseries, deadline);
  }
  return false;
}

async function rollUpFleets(timeseries: Timeseries, deadline: number): Promise<boolean> {
  const options = { part: "all", forMs: 10_000 } as const;
  while (Date.now() < deadline) {
    if ((await timeseries.rollUpFleets(options)).complete) return true;
  }
  return false;
}

async function measureOn(timeseries: Timeseries, size: number, rollUpSeconds: number) {
  const label = `at ${size.toExponential(0)} points`;
  report(`${label}, rollups of all that was not rolled up`, rollUpSeconds, "s");
  for (const [name, ask] of questions(timeseries, devicesOf(size))) {
    const times: number[] = [];
    for (let run = 0; run < RUNS; run += 1) {
      const from = performance.now();
      await ask();
      times.push(performance.now() - from);
    }
    const [goal, against] = name.startsWith("one device, one day") ? [10, "10 ms"] : [50, "50 ms"];
    const median = times.sort((left, right) => left - right)[(RUNS - 1) / 2] as number;
    report(`${label}, ${name}`, median, "ms", `goal of ${against}`, goal / median);
  }
  let points = 0;
  let seconds = 0;
  for (const rows of pointBatches(20, BATCH)) {
    const from = performance.now();
    await timeseries.insertPoints(narrow(rows, new PointColumns()));
    seconds += (performance.now() - from) / 1_000;
    points += rows.length;
    if (points >= INSERTS * BATCH) break;
  }
  report(`${label}, insert beside them`, points / seconds, "points/s");
}

function questions(timeseries: Timeseries, devices: number): [string, () => Promise<unknown>][] {
  const clock = { now: () => END, after: () => ({ cancel() {} }) };
  const telemetry = createTelemetry({ timeseries, clock });
  const base = { metric: "voltage", from: GROWTH_START, to: END, transform: "none" } as const;
  const fleet = (more: Partial<SeriesQuery>) => () =>
    querySeries(
      {
        ...{ timeseries, clock, ...registryOf(devices) },
        retention: async () => ({ all: KEPT, rules: [] }),
        meanings: async () => new Map(),
      },
      GROWTH_TENANT,
      { ...base, aggregate: "avg", groupBy: "none", fill: "none", ...more },
    );
  const day = {
    deviceId: "device-7",
    metric: "voltage",
    from: GROWTH_START,
    to: GROWTH_START + DAY_MS,
  };
  const hour = 3_600_000;
  const charted = {
    ...{ timeseries, clock, retention: async () => ({ all: KEPT, rules: [] }) },
    rolledUpTo: () => timeseries.rolledUpTo(),
    pointsOf: telemetry.series,
  };
  return [
    [
      "one device, one day, as its page charts it",
      () => deviceSeries(charted, GROWTH_TENANT, { ...day, maxPoints: 600 }),
    ],
    ["one device, one day, raw", () => telemetry.series(GROWTH_TENANT, { ...day, maxPoints: 600 })],
    ["fleet by the hour", fleet({ stepMs: hour })],
    ["fleet by ten minutes", fleet({ stepMs: 600_000 })],
    ["fleet's 95th percentile by the hour", fleet({ stepMs: hour, aggregate: "p95" })],
    ["ten devices with the greatest mean", fleet({ stepMs: hour, groupBy: "device", top: 10 })],
    ["fleet's growth by six hours", fleet({ stepMs: 6 * hour, transform: "increase" })],
    ["fleet by firmware by the hour", fleet({ stepMs: hour, groupBy: "firmware" })],
    [
      "fleet by region, six hours by ten minutes",
      fleet({ stepMs: 600_000, groupBy: "region", from: END - 6 * hour }),
    ],
    [
      "latest values, first page",
      () =>
        readLatestPage(timeseries, GROWTH_TENANT, {
          ...{ ids: null, since: END - hour, sort: "device", limit: 100 },
          kept: { where: [], params: {} },
        }),
    ],
  ];
}

const KEPT = { points: 1_000, minutes: 1_000, hours: 1_000, days: 1_000 };

/** What the registry knows of the devices, which is no part of what is measured. */
function registryOf(count: number): Pick<SeriesDeps, "db" | "devices"> {
  const members = Array.from({ length: count }, (_, index) => ({
    id: `device-${index}`,
    firmware_version: `1.${index % 4}.0`,
    region: `region-${index % 7}`,
  }));
  return { db: { tenant: async () => members }, devices: {} } as never;
}
