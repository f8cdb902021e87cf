import type { QueryCost, QueryStage, TenantQuery, Timeseries } from "../timeseries/index.ts";
import { quantileOf, type Resolution } from "./resolution.ts";
import type { Selection } from "./selection.ts";
import { type Aggregate, QUERY_LIMITS, type SeriesQuery, type Source } from "./types.ts";

/** A value of one series and bucket; `k` is a device, a number of `keys`, or empty. */
export interface BucketRow {
  k: string;
  b: number;
  v: number | null;
}

export type Reader = Pick<Timeseries, "tenantQuery">;

export const COST: QueryCost = {
  maxSeconds: QUERY_LIMITS.seconds,
  maxRowsRead: QUERY_LIMITS.rowsRead,
};

/** One row for each series and bucket that holds something, in their order. */
export function readBuckets(
  timeseries: Reader,
  tenantId: string,
  query: SeriesQuery,
  selection: Selection,
  { source, stepMs, from, to, lookbackMs }: Resolution,
  horizon: number,
): Promise<BucketRow[]> {
  const isCounter = query.transform !== "none";
  const start = isCounter ? from - lookbackMs : from;
  const { select, groupBy, stages } = isCounter
    ? growthStages(query, source, keyExpression(query, selection))
    : valueStages(query, source, keyExpression(query, selection));
  return timeseries.tenantQuery<BucketRow>(tenantId, {
    table: isOfWholeFleet(query, selection, source) ? `fleet_${source}` : tableOf(source),
    select,
    ...(groupBy ? { groupBy } : {}),
    metric: query.metric,
    where: [
      ...windowOf(source),
      ...(selection.ids ? ["device_id in {devices:Array(String)}"] : []),
    ],
    stages: [...stages, { select: "k, b, v", orderBy: "k, b" }],
    final: true,
    limit: QUERY_LIMITS.points + 1,
    cost: COST,
    params: {
      start: Math.max(start, horizon),
      from,
      to,
      width: stepMs,
      ...(selection.ids ? { devices: selection.ids } : {}),
      ...(selection.keyNumbers ? { keyNumbers: selection.keyNumbers } : {}),
    },
  });
}

/** Whether rollups of the fleet as a whole say what is asked, where no device's own result is. */
function isOfWholeFleet(
  query: SeriesQuery,
  selection: Selection,
  source: Source,
): source is Exclude<Source, "raw"> {
  if (source === "raw" || query.transform !== "none") return false;
  return query.groupBy === "none" && selection.ids === null && isSameAcross(query);
}

/** The greatest of the devices' greatest values is the greatest of all values; of others it is not so. */
function isSameAcross({ aggregate, across }: SeriesQuery): boolean {
  if (!across) return true;
  return across === (aggregate === "count" ? "sum" : aggregate) && /^(min|max|sum)$/.test(across);
}

/** Where the rows of a source lie. */
export function tableOf(source: Source): TenantQuery["table"] {
  return source === "raw" ? "points" : `telemetry_${source}`;
}

/** Conditions on the time of a row: from `start` on, before `to`. */
export function windowOf(source: Source): string[] {
  const at = (name: string) =>
    source === "raw"
      ? `fromUnixTimestamp64Milli({${name}:Int64})`
      : `toDateTime(intDiv({${name}:Int64} + 999, 1000), 'UTC')`;
  return [`ts >= ${at("start")}`, `ts < ${at("to")}`];
}

/** Milliseconds since the epoch of a row, or of its bucket's beginning. */
export function timeOf(source: Source): string {
  return source === "raw" ? "toUnixTimestamp64Milli(ts)" : "toInt64(toUnixTimestamp(ts)) * 1000";
}

interface Stages extends QueryStage {
  stages: QueryStage[];
}

function valueStages(query: SeriesQuery, source: Source, key: (device: string) => string): Stages {
  const bucket = `intDiv(${timeOf(source)} - {from:Int64}, {width:Int64}) as b`;
  const value = `${aggregateOf(query.aggregate, source)} as v`;
  if (!query.across || query.groupBy === "device" || isSameAcross(query)) {
    const select = `${key("device_id")} as k, ${bucket}, ${value}`;
    return { select, groupBy: "k, b", stages: [] };
  }
  return {
    select: `device_id as d, ${bucket}, ${value}`,
    groupBy: "d, b",
    stages: [acrossDevices(query.across, key)],
  };
}

/** Each device's rows side by side with the one before: what has come since is the bucket's. */
function growthStages(query: SeriesQuery, source: Source, key: (device: string) => string): Stages {
  const [first, last] = source === "raw" ? ["value", "value"] : ["first", "last"];
  const previous = `lagInFrame(${last}, 1, ${first}) over
    (partition by device_id order by ts rows between unbounded preceding and current row)`;
  const select = `device_id as d, ${timeOf(source)} as t, ${first} as f, ${last} as l,
    ${previous} as p`;
  // A counter that is less than it was has begun again at nought.
  const increase = "if(f >= p, f - p, f) + if(l >= f, l - f, l)";
  const grown = `sum(${query.transform === "delta" ? "l - p" : increase})`;
  const value = query.transform === "rate" ? `${grown} * 1000 / {width:Int64}` : grown;
  const perDevice: QueryStage = {
    select: `d, intDiv(t - {from:Int64}, {width:Int64}) as b, ${value} as v`,
    where: ["t >= {from:Int64}"],
    groupBy: "d, b",
  };
  return { select, stages: [perDevice, acrossDevices(query.across ?? "sum", key)] };
}

function acrossDevices(across: Aggregate, key: (device: string) => string): QueryStage {
  const q = quantileOf(across);
  const value =
    q === undefined ? (across === "count" ? "count()" : `${across}(v)`) : `${exactly(q)}(v)`;
  // The name of a result may not be that of what it is made from.
  return { select: `${key("d")} as k, b, ${value} as v`, groupBy: "k, b" };
}

/** The series that a device's values belong to, given the expression that names the device. */
function keyExpression(
  { groupBy }: Pick<SeriesQuery, "groupBy">,
  { keyNumbers }: Selection,
): (device: string) => string {
  if (groupBy === "device") return (device) => device;
  if (!keyNumbers) return () => "''";
  const number = (device: string) =>
    `transform(${device}, {devices:Array(String)}, {keyNumbers:Array(String)}, '')`;
  return groupBy === "group"
    ? (device) => `arrayJoin(splitByChar(',', ${number(device)}))`
    : number;
}

function exactly(quantile: number): string {
  return `quantileExactInclusive(${quantile})`;
}

function aggregateOf(aggregate: Aggregate, source: Source): string {
  const q = quantileOf(aggregate);
  if (source === "raw") {
    if (q !== undefined) return `${exactly(q)}(value)`;
    if (aggregate === "count") return "count()";
    return aggregate === "last" ? "argMax(value, (ts, seq))" : `${aggregate}(value)`;
  }
  if (q !== undefined) return `quantilesDDMerge(0.01, ${q})(sketch)[1]`;
  if (aggregate === "avg") return "sum(sum) / sum(count)";
  if (aggregate === "last") return "argMax(last, last_ts)";
  return aggregate === "count" ? "sum(count)" : `${aggregate}(${aggregate})`;
}
