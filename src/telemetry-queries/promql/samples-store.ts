import type { QueryStage } from "../../timeseries/index.ts";
import type { Kept } from "../latest-store.ts";
import { COST, type Reader, tableOf } from "../series-store.ts";
import type { Source } from "../types.ts";

export interface SampleRow {
  d: string;
  m: string;
  t: number;
  v: number | null;
  /** Values that `v` is the sum of, in rollups. */
  c: number;
}

export interface SampleQuery {
  source: Source;
  /** What of a rollup's bucket: its values themselves, or what they come to. */
  take: "ends" | "last" | "sum" | "min" | "max";
  metrics: readonly string[];
  /** Null for all. */
  devices: readonly string[] | null;
  /** After `from` up to `to`, milliseconds since the epoch. */
  from: number;
  to: number;
  /** What is kept still. */
  kept: Kept;
}

export const MAX_SAMPLES = 500_000;

/** Samples in the order of device, metric and time; one more than may be where there are too many. */
export function readSamples(
  timeseries: Reader,
  tenantId: string,
  query: SampleQuery,
): Promise<SampleRow[]> {
  const { source, metrics, devices, from, to, kept } = query;
  const { select, where, params } = source === "raw" ? ofPoints(query) : ofBuckets(query);
  const stages: QueryStage[] = [{ select: "d, m, t, v, c", orderBy: "d, m, t" }];
  return timeseries.tenantQuery<SampleRow>(tenantId, {
    table: tableOf(source),
    select: `device_id as d, metric as m, ${select}`,
    where: [
      "metric in {metrics:Array(String)}",
      ...(devices ? ["device_id in {devices:Array(String)}"] : []),
      ...where,
      ...kept.where,
    ],
    stages,
    final: true,
    limit: MAX_SAMPLES + 1,
    cost: COST,
    params: { ...kept.params, metrics, from, to, ...(devices ? { devices } : {}), ...params },
  });
}

function ofPoints(_query: SampleQuery) {
  return {
    select: "toUnixTimestamp64Milli(ts) as t, value as v, 1 as c",
    where: [
      "ts > fromUnixTimestamp64Milli({from:Int64})",
      "ts <= fromUnixTimestamp64Milli({to:Int64})",
    ],
    params: {},
  };
}

const WIDTH_MS = { "1m": 60_000, "1h": 3_600_000, "1d": 86_400_000 };

/** A bucket's figures stand at its end: `(from, to]` then holds those that lie in it whole. */
function ofBuckets({ source, take }: SampleQuery) {
  const width = WIDTH_MS[source as keyof typeof WIDTH_MS];
  const end = "toInt64(toUnixTimestamp(ts)) * 1000 + {width:Int64} as t";
  const where = [
    "ts >= toDateTime(intDiv({from:Int64}, 1000), 'UTC')",
    "ts < toDateTime(intDiv({to:Int64}, 1000), 'UTC')",
  ];
  const real = "toUnixTimestamp64Milli";
  const select = {
    ends: `arrayJoin([(${real}(first_ts), first), (${real}(last_ts), last)]) as s,
      s.1 as t, s.2 as v, count as c`,
    last: `${real}(last_ts) as t, last as v, count as c`,
    sum: `${end}, sum as v, count as c`,
    min: `${end}, min as v, count as c`,
    max: `${end}, max as v, count as c`,
  }[take];
  return { select, where, params: { width } };
}
