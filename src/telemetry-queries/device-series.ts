import { AppError } from "../kernel/index.ts";
import { type KeptDays, keptDaysOf } from "../protocol/index.ts";
import { horizonOf, type KeptLevel, type TenantQuery } from "../timeseries/index.ts";
import { chooseResolution, type Horizons } from "./resolution.ts";
import type { SeriesDeps } from "./series.ts";
import { COST, tableOf, timeOf, windowOf } from "./series-store.ts";
import type { Source } from "./types.ts";

/** `from` and `to` are device times in milliseconds since the epoch, `to` excluded. */
export interface DeviceSeriesQuery {
  deviceId: string;
  metric: string;
  from: number;
  to: number;
  /** About how many buckets at most. */
  maxPoints: number;
}

/** What lies in one bucket of time; `ts` is the time of its first value. */
export interface DeviceBucket {
  ts: number;
  min: number;
  max: number;
  mean: number;
  count: number;
}

export interface DeviceSeries {
  points: DeviceBucket[];
  /** What was read, and how wide its buckets are; null where points were, as wide as it takes. */
  source: Source;
  stepMs: number | null;
  /** For how many days points and rollups of this metric are kept. */
  kept: KeptDays;
}

export interface DeviceSeriesDeps extends Pick<SeriesDeps, "timeseries" | "clock" | "retention"> {
  rolledUpTo(): Promise<number>;
  pointsOf(tenantId: string, query: DeviceSeriesQuery): Promise<DeviceBucket[]>;
}

/** How far rollups may be behind: what is younger is read from those by the minute. */
const BEHIND_MS: Record<Source, number> = { raw: 0, "1m": 0, "1h": 7_200_000, "1d": 172_800_000 };

/** What devices send comes within that, but for what comes late. */
const LATE_MS = 300_000;

/**
 * One metric of one device, from the coarsest rollup that serves, and from one that reaches back further
 * where points are not kept for so long. What no rollup has seen yet is read from the points.
 */
export async function deviceSeries(
  deps: DeviceSeriesDeps,
  tenantId: string,
  query: DeviceSeriesQuery,
): Promise<DeviceSeries> {
  if (!(query.to > query.from)) {
    throw new AppError("invalid-request", "`to` must come after `from`");
  }
  const { metric, maxPoints: points } = query;
  const now = deps.clock.now();
  const policy = await deps.retention(tenantId);
  const { points: pointDays, minutes, hours, days } = keptDaysOf(policy, metric);
  const kept = { points: pointDays, minutes, hours, days };
  const at = (level: KeptLevel) => horizonOf(policy, level, metric, now);
  const horizons = { raw: at("points"), "1m": at("minutes"), "1h": at("hours"), "1d": at("days") };
  const asked = { from: query.from, to: query.to, points, transform: "none" } as const;
  const { source, stepMs, from, to } = chooseResolution(asked, horizons);
  if (source === "raw") {
    const since = Math.max(query.from, horizons.raw);
    const found = since < query.to ? await deps.pointsOf(tenantId, { ...query, from: since }) : [];
    return { points: found, source, stepMs: null, kept };
  }
  const wholeStep = (moment: number) => Math.max(from, Math.floor(moment / stepMs) * stepMs);
  const isOver = to <= now - Math.max(LATE_MS, BEHIND_MS[source]);
  const part = (of: Source, start: number, end: number) =>
    readPart(deps, tenantId, query, { source: of, from, stepMs, start, end, isOver }, horizons);
  // Of what is over, rollups have mostly seen all: they are read while that is asked.
  const after = await deps.rolledUpTo();
  const [unseen, whole] = await Promise.all([
    firstUnseen(deps, tenantId, { ...query, from: horizons.raw }, after),
    isOver ? part(source, from, to) : undefined,
  ]);
  if (whole && (unseen === null || wholeStep(unseen) >= to)) {
    return { points: whole, source, stepMs, kept };
  }
  const cut = unseen === null ? to : Math.min(to, wholeStep(unseen));
  const settled = Math.min(cut, wholeStep(now - BEHIND_MS[source]));
  const parts = await Promise.all([
    part(source, from, source === "1m" ? cut : settled),
    source === "1m" ? [] : part("1m", settled, cut),
    part("raw", cut, Math.min(to, query.to)),
  ]);
  return { points: parts.flat(), source, stepMs, kept };
}

/** The earliest moment of what has come in after `after`, which the rollups have seen; null where nothing has. */
async function firstUnseen(
  { timeseries }: Pick<DeviceSeriesDeps, "timeseries">,
  tenantId: string,
  { deviceId, metric, from, to }: DeviceSeriesQuery,
  after: number,
): Promise<number | null> {
  const [row] = await timeseries.tenantQuery<{ first: number | null }>(tenantId, {
    ...{ table: "points", metric, limit: 1, cost: COST },
    select: "toUnixTimestamp64Milli(minOrNull(ts)) as first",
    where: [
      "device_id = {device:String}",
      "received_at > fromUnixTimestamp64Milli({after:Int64})",
      ...windowOf("raw"),
    ],
    params: { device: deviceId, after, start: Math.max(0, from), to },
  });
  return row?.first ?? null;
}

interface Part {
  source: Source;
  /** Of the first bucket of all. */
  from: number;
  stepMs: number;
  start: number;
  end: number;
  /** No bucket of it is computed again and again. */
  isOver: boolean;
}

const FIGURES: Record<"raw" | "rollup", string> = {
  raw: `toUnixTimestamp64Milli(min(ts)) as at, min(value) as least, max(value) as most,
    sum(value) as total, count() as n`,
  rollup: `toUnixTimestamp64Milli(min(first_ts)) as at, min(min) as least, max(max) as most,
    sum(sum) as total, sum(count) as n`,
};

async function readPart(
  { timeseries }: DeviceSeriesDeps,
  tenantId: string,
  { deviceId, metric }: DeviceSeriesQuery,
  { source, from, stepMs, start, end, isOver }: Part,
  horizons: Horizons,
): Promise<DeviceBucket[]> {
  const first = Math.max(start, horizons[source]);
  if (first >= end) return [];
  const query: TenantQuery = {
    ...{ table: tableOf(source), metric, limit: MAX_BUCKETS, cost: COST },
    select: `intDiv(${timeOf(source)} - {first:Int64}, {width:Int64}) as bucket,
      ${FIGURES[source === "raw" ? "raw" : "rollup"]}`,
    where: ["device_id = {device:String}", ...windowOf(source)],
    groupBy: "bucket",
    orderBy: "bucket",
    params: { device: deviceId, first: from, width: stepMs, start: first, to: end },
  };
  const rows =
    (isOver && source !== "raw" ? await asTheyLie(timeseries, tenantId, query) : null) ??
    (await timeseries.tenantQuery<BucketFigures>(tenantId, { ...query, final: true }));
  return rows.map(({ at, least, most, total, n }) => {
    return { ts: at, min: least, max: most, mean: total / n, count: n };
  });
}

interface BucketFigures {
  at: number;
  least: number;
  most: number;
  total: number;
  n: number;
}

/**
 * To take rows together that replace each other takes longer than all else, and of what is over there are
 * mostly none: null where there are.
 */
async function asTheyLie(
  timeseries: DeviceSeriesDeps["timeseries"],
  tenantId: string,
  query: TenantQuery,
): Promise<BucketFigures[] | null> {
  type Counted = BucketFigures & { lying: number; moments: number };
  const rows = await timeseries.tenantQuery<Counted>(tenantId, {
    ...query,
    select: `${query.select}, count() as lying, uniqExact(ts) as moments`,
  });
  return rows.every(({ lying, moments }) => lying === moments) ? rows : null;
}

const MAX_BUCKETS = 10_000;
