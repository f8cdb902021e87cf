/** How the values of a bucket become one. `p` with a number is a percentile: `p95`, `p99.9`. */
export type Aggregate = "avg" | "min" | "max" | "sum" | "count" | "last" | `p${number}`;

/**
 * What is asked of each device's own values: as they are; how much a counter has grown (it begins again
 * at nought after a restart), in all or a second; how much a gauge has changed.
 */
export type Transform = "none" | "increase" | "rate" | "delta";

/** What stands in buckets that hold nothing. */
export type Fill = "none" | "null" | "previous" | "linear";

/** `tags.site` names a tag; `group` the tenant's saved groups, of which a device may be in several. */
export type GroupBy =
  | "none"
  | "device"
  | "firmware"
  | "hardware"
  | "product"
  | "region"
  | "group"
  | `tags.${string}`;

/** Which devices: all, or those of a fleet query, of a saved group and of a list, all of which hold. */
export interface DeviceFilter {
  query?: string | undefined;
  group?: string | undefined;
  devices?: readonly string[] | undefined;
}

export interface SeriesQuery extends DeviceFilter {
  metric: string;
  /** Device times in milliseconds since the epoch, `to` excluded. */
  from: number;
  to: number;
  /** Width of a bucket; else as many buckets as `points` at most. */
  stepMs?: number | undefined;
  points?: number | undefined;
  aggregate: Aggregate;
  transform: Transform;
  /**
   * Where it is given, the aggregate takes each device's own values together, and `across` the devices'
   * results; otherwise all values of all devices count alike.
   */
  across?: Aggregate | undefined;
  groupBy: GroupBy;
  fill: Fill;
  /** Only the series whose values are greatest on average (negative: smallest). */
  top?: number | undefined;
}

/** Where the values were read: points as they came, or buckets that were computed before. */
export type Source = "raw" | "1m" | "1h" | "1d";

export interface Series {
  /** Value of what was grouped by; empty where all is one series, null for devices without one. */
  key: string | null;
  /** `[beginning of the bucket, value]`. */
  points: [number, number | null][];
}

export interface SeriesAnswer {
  /** Of the values of this answer; empty where none is declared, or products differ. */
  unit: string;
  description: string;
  resolution: {
    source: Source;
    stepMs: number;
    /** Beginning of the first bucket. */
    from: number;
    to: number;
    /** Percentiles of rollups are right to two percent of the value. */
    approximate: boolean;
  };
  /** Devices that the filter chose; null where it chose all. */
  devices: number | null;
  series: Series[];
}

/** What one query may cost, and how many may run. */
export const QUERY_LIMITS = {
  devices: 50_000,
  series: 1_000,
  bucketsPerSeries: 4_000,
  points: 200_000,
  rowsRead: 2_000_000_000,
  seconds: 10,
  /** Queries of one tenant that run at once, and of all tenants together. */
  runningPerTenant: 2,
  running: 3,
  /** Queries of one tenant that wait for their turn, and for how long. */
  waitingPerTenant: 20,
  waitMs: 15_000,
} as const;
