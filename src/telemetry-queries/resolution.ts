import { AppError } from "../kernel/index.ts";
import { type Aggregate, QUERY_LIMITS, type Source, type Transform } from "./types.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Widths that a reader of a chart knows, and that whole rollups fit into. */
const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((count) => count * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((count) => count * MINUTE),
  ...[1, 2, 3, 6, 12].map((count) => count * HOUR),
  ...[1, 2, 7, 14, 28, 91, 364].map((count) => count * DAY),
];

const ROLLUPS: readonly { source: Exclude<Source, "raw">; widthMs: number }[] = [
  { source: "1d", widthMs: DAY },
  { source: "1h", widthMs: HOUR },
  { source: "1m", widthMs: MINUTE },
];

const DEFAULT_POINTS = 600;

export interface Resolution {
  source: Source;
  stepMs: number;
  /** Whole steps since the epoch: two looks at one time of day see the same buckets. */
  from: number;
  to: number;
  /** How far before `from` a point may lie for a counter's growth since then to be known. */
  lookbackMs: number;
}

/** The point before the first one: what a counter has grown by since belongs to the first bucket. */
const LEAST_LOOKBACK_MS = 10 * MINUTE;

/**
 * How wide buckets are and what they are read from: the coarsest rollup whose buckets fit whole into
 * a step and say what is asked. A counter's growth within a rollup's bucket is not known (it may have
 * begun again), so it needs a step of several buckets.
 */
export function chooseResolution(
  query: ResolutionQuery,
  horizons: Horizons = NO_HORIZONS,
): Resolution {
  const { from, to } = query;
  if (!(to > from)) throw new AppError("invalid-request", "`to` must come after `from`");
  const perStep = query.transform === "none" ? 1 : MIN_BUCKETS_OF_A_COUNTER;
  const stepMs =
    query.stepMs ??
    keptStep(niceStep((to - from) / (query.points ?? DEFAULT_POINTS)), perStep, from, horizons);
  const first = Math.floor(from / stepMs) * stepMs;
  const buckets = Math.ceil((to - first) / stepMs);
  if (buckets > QUERY_LIMITS.bucketsPerSeries) {
    throw new AppError("query-too-expensive", `a series has ${buckets} buckets: widen the step`, {
      buckets,
      maximum: QUERY_LIMITS.bucketsPerSeries,
    });
  }
  const rollup = rollupFor(stepMs, perStep);
  const lookbackMs = Math.max(stepMs, LEAST_LOOKBACK_MS);
  // A rollup's bucket is read whole or not at all.
  const end = rollup ? Math.ceil(to / rollup.widthMs) * rollup.widthMs : to;
  return { source: rollup?.source ?? "raw", stepMs, from: first, to: end, lookbackMs };
}

interface ResolutionQuery {
  from: number;
  to: number;
  stepMs?: number | undefined;
  points?: number | undefined;
  transform: Transform;
}

/** Since when each source is kept, milliseconds since the epoch. */
export type Horizons = Record<Source, number>;

const NO_HORIZONS: Horizons = { raw: 0, "1m": 0, "1h": 0, "1d": 0 };

function rollupFor(stepMs: number, perStep: number) {
  return ROLLUPS.find(({ widthMs }) => stepMs % widthMs === 0 && stepMs / widthMs >= perStep);
}

/** A step as narrow as was asked for, or one wide enough for rollups that reach back further. */
function keptStep(stepMs: number, perStep: number, from: number, horizons: Horizons): number {
  const reaches = (step: number) => horizons[rollupFor(step, perStep)?.source ?? "raw"];
  let best = stepMs;
  for (const { widthMs } of [...ROLLUPS].reverse()) {
    if (reaches(best) <= from) break;
    const wider = niceStep(Math.max(stepMs, widthMs * perStep));
    if (reaches(wider) < reaches(best)) best = wider;
  }
  return best;
}

/** Restarts between two buckets are seen, restarts within one are not: the finer the better. */
const MIN_BUCKETS_OF_A_COUNTER = 5;

/** The narrowest known width that is no narrower than asked for. */
export function niceStep(leastMs: number): number {
  return STEPS.find((step) => step >= leastMs) ?? Math.ceil(leastMs / DAY) * DAY;
}

const PERCENTILE = /^p(\d{1,2}(?:\.\d{1,3})?|100)$/;

/** The quantile (0 to 1) of a percentile, undefined for the other aggregates. */
export function quantileOf(aggregate: Aggregate): number | undefined {
  const match = PERCENTILE.exec(aggregate);
  return match ? Number(match[1]) / 100 : undefined;
}

export function isAggregate(text: string): text is Aggregate {
  return /^(avg|min|max|sum|count|last)$/.test(text) || PERCENTILE.test(text);
}
