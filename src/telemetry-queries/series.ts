import { AppError, type Clock } from "../kernel/index.ts";
import type { RetentionPolicy } from "../protocol/index.ts";
import { horizonOf, type KeptLevel } from "../timeseries/index.ts";
import { type MeaningsOf, UNKNOWN, unitOfAnswer } from "./meanings.ts";
import { chooseResolution, quantileOf, type Resolution } from "./resolution.ts";
import { type Selection, type SelectionDeps, selectDevices } from "./selection.ts";
import { type BucketRow, type Reader, readBuckets } from "./series-store.ts";
import { fillGaps } from "./shape.ts";
import { QUERY_LIMITS, type Series, type SeriesAnswer, type SeriesQuery } from "./types.ts";

export interface SeriesDeps extends SelectionDeps {
  timeseries: Reader;
  clock: Clock;
  /** What is kept no longer, reads do not show. */
  retention(tenantId: string): Promise<RetentionPolicy>;
  meanings: MeaningsOf;
}

/** Series of one metric over many devices. */
export async function querySeries(
  deps: SeriesDeps,
  tenantId: string,
  query: SeriesQuery,
): Promise<SeriesAnswer> {
  if (query.across === "last") {
    throw new AppError("invalid-request", "`across` takes devices together: none is the last");
  }
  const policy = await deps.retention(tenantId);
  const at = (level: KeptLevel) => horizonOf(policy, level, query.metric, deps.clock.now());
  const horizons = { raw: at("points"), "1m": at("minutes"), "1h": at("hours"), "1d": at("days") };
  const resolution = chooseResolution(query, horizons);
  const { source, stepMs, from, to } = resolution;
  const buckets = Math.ceil((to - from) / stepMs);
  const horizon = horizons[source];
  const chosen = await selectDevices(deps, tenantId, query, query.groupBy);
  const { unit, description } = (await deps.meanings(tenantId)).get(query.metric) ?? UNKNOWN;
  const answer = {
    ...{ unit: unitOfAnswer(unit, query), description },
    resolution: { source, stepMs, from, to, approximate: isApproximate(query, resolution) },
    devices: chosen.ids?.length ?? null,
  };
  const selection: Ranked = query.top
    ? await onlyTop(deps, tenantId, query, chosen, resolution, horizon)
    : chosen;
  if (selection.ids?.length === 0) return { ...answer, series: [] };
  const rows = await readBuckets(deps.timeseries, tenantId, query, selection, resolution, horizon);
  if (rows.length > QUERY_LIMITS.points) {
    const maximum = QUERY_LIMITS.points;
    throw new AppError("query-too-expensive", `the answer has more than ${maximum} points`, {
      maximum,
    });
  }
  const shape = { fill: query.fill, from, stepMs, buckets };
  const series: Series[] = [];
  for (const [k, values] of bySeries(rows)) {
    series.push({ key: keyOf(query, selection, k), points: fillGaps(values, shape) });
  }
  if (series.length > QUERY_LIMITS.series) throw tooManySeries(series.length);
  return { ...answer, series: query.top ? inOrderOf(series, selection.order ?? []) : series };
}

type Ranked = Selection & { order?: (string | null)[] };

/** The selection confined to the series that come first when all of the time is one bucket. */
async function onlyTop(
  deps: SeriesDeps,
  tenantId: string,
  query: SeriesQuery,
  selection: Selection,
  resolution: Resolution,
  horizon: number,
): Promise<Ranked> {
  if (selection.ids?.length === 0) return selection;
  const { from, to } = resolution;
  const whole = { ...resolution, stepMs: Math.max(1, to - from) };
  const rows = await readBuckets(deps.timeseries, tenantId, query, selection, whole, horizon);
  const count = Math.abs(query.top ?? 0);
  const sign = (query.top ?? 0) < 0 ? -1 : 1;
  const best = rows
    .filter((row): row is BucketRow & { v: number } => row.v !== null)
    .sort((left, right) => sign * (right.v - left.v) || (left.k < right.k ? -1 : 1))
    .slice(0, count)
    .map(({ k }) => k);
  const order = best.map((k) => keyOf(query, selection, k));
  if (query.groupBy === "device") return { ids: best, keyNumbers: null, keys: [], order };
  const { ids, keyNumbers, keys } = selection;
  if (!ids || !keyNumbers) return { ...selection, order };
  const wanted = new Set(best);
  const kept = keyNumbers.map((numbers) =>
    numbers
      .split(",")
      .filter((number) => wanted.has(number))
      .join(","),
  );
  return {
    ids: ids.filter((_, index) => kept[index] !== ""),
    keyNumbers: kept.filter((numbers) => numbers !== ""),
    keys,
    order,
  };
}

function bySeries(rows: readonly BucketRow[]): Map<string, Map<number, number | null>> {
  const series = new Map<string, Map<number, number | null>>();
  for (const { k, b, v } of rows) {
    const values = series.get(k) ?? new Map<number, number | null>();
    values.set(b, v);
    series.set(k, values);
  }
  return series;
}

function keyOf({ groupBy }: SeriesQuery, { keys }: Selection, k: string): string | null {
  if (groupBy === "none") return "";
  return groupBy === "device" ? k : (keys[Number(k)] ?? null);
}

function inOrderOf(series: Series[], order: readonly (string | null)[]): Series[] {
  return series.sort((left, right) => order.indexOf(left.key) - order.indexOf(right.key));
}

function isApproximate(query: SeriesQuery, { source }: Resolution): boolean {
  if (source === "raw") return false;
  return query.transform !== "none" || quantileOf(query.aggregate) !== undefined;
}

function tooManySeries(count: number): AppError {
  const maximum = QUERY_LIMITS.series;
  return new AppError(
    "query-too-expensive",
    `the answer has ${count} series, at most ${maximum}: group them or ask for the top ones`,
    { series: count, maximum },
  );
}
