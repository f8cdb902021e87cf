import { AppError } from "../kernel/index.ts";
import { COST, type Reader } from "./series-store.ts";

/** Conditions by which rows are left out that are not kept any longer. */
export interface Kept {
  where: readonly string[];
  params: Record<string, string | number>;
}

export interface LatestQuery {
  /** Null for every device. */
  ids: readonly string[] | null;
  /** Absent for every metric. */
  metrics?: readonly string[] | undefined;
  /** Device times from here on. */
  since: number;
  /** Only values within, both included. */
  above?: number | undefined;
  below?: number | undefined;
  /** What is kept still. */
  kept: Kept;
  sort: LatestSort;
  cursor?: string | undefined;
  limit: number;
}

export type LatestSort = `${"" | "-"}${"device" | "metric" | "value" | "ts"}`;

export interface LatestPage {
  items: LatestItem[];
  nextCursor: string | null;
}

export interface LatestItem {
  deviceId: string;
  metric: string;
  ts: number;
  value: number;
}

/** What is compared, made total by device and metric. */
const ORDERS = {
  device: { key: "device", type: "String" },
  metric: { key: "metric", type: "String" },
  value: { key: "newest", type: "Float64" },
  ts: { key: "at", type: "Int64" },
} as const;

/** The value of the greatest device time, for each device and metric. */
export async function readLatestPage(
  timeseries: Reader,
  tenantId: string,
  query: LatestQuery,
): Promise<LatestPage> {
  const descending = query.sort.startsWith("-");
  const { key, type } = ORDERS[query.sort.replace("-", "") as keyof typeof ORDERS];
  const after = query.cursor === undefined ? undefined : readPosition(query.cursor, type);
  const direction = descending ? "desc" : "asc";
  const rows = await timeseries.tenantQuery<LatestRow>(tenantId, {
    table: "latest",
    select: `device_id as device, metric, toUnixTimestamp64Milli(max(ts)) as at,
      argMax(value, (ts, seq)) as newest`,
    where: [
      "ts >= fromUnixTimestamp64Milli({since:Int64})",
      ...query.kept.where,
      ...(query.ids ? ["device_id in {devices:Array(String)}"] : []),
      ...(query.metrics ? ["metric in {metrics:Array(String)}"] : []),
    ],
    groupBy: "device, metric",
    stages: [
      {
        select: "device, metric, at, newest",
        where: [
          ...(query.above === undefined ? [] : ["newest >= {above:Float64}"]),
          ...(query.below === undefined ? [] : ["newest <= {below:Float64}"]),
          ...(after
            ? [`(${key}, device, metric) ${descending ? "<" : ">"} ${POSITION(type)}`]
            : []),
        ],
        orderBy: `${key} ${direction}, device ${direction}, metric ${direction}`,
      },
    ],
    limit: query.limit + 1,
    cost: COST,
    params: {
      ...query.kept.params,
      since: query.since,
      ...(query.ids ? { devices: query.ids } : {}),
      ...(query.metrics ? { metrics: query.metrics } : {}),
      ...(query.above === undefined ? {} : { above: query.above }),
      ...(query.below === undefined ? {} : { below: query.below }),
      ...after,
    },
  });
  const page = rows.slice(0, query.limit);
  const last = rows.length > query.limit ? page.at(-1) : undefined;
  return {
    items: page.map(({ device, metric, at, newest }) => {
      return { deviceId: device, metric, ts: at, value: newest };
    }),
    nextCursor: last ? JSON.stringify([last[key], last.device, last.metric]) : null,
  };
}

interface LatestRow {
  device: string;
  metric: string;
  at: number;
  newest: number;
}

const POSITION = (type: string) =>
  `({afterKey:${type}}, {afterDevice:String}, {afterMetric:String})`;

function readPosition(cursor: string, type: string) {
  const [afterKey, afterDevice, afterMetric] = seriesPosition(
    cursor,
    (key): key is string | number =>
      type === "String"
        ? typeof key === "string"
        : typeof key === "number" && (type !== "Int64" || Number.isSafeInteger(key)),
  );
  return { afterKey, afterDevice, afterMetric };
}

/** What a page ended with: a key, and the device and metric that make its place total. */
export function seriesPosition<Key>(
  cursor: string,
  fits: (key: unknown) => key is Key,
): [key: Key, device: string, metric: string] {
  const refused = new AppError("invalid-cursor", "the cursor belongs to no page of this list");
  let parts: unknown;
  try {
    parts = JSON.parse(cursor);
  } catch {
    throw refused;
  }
  const [key, device, metric] = Array.isArray(parts) ? parts : [];
  if (!fits(key) || typeof device !== "string" || typeof metric !== "string") throw refused;
  return [key, device, metric];
}

const KNOWN_WINDOW_MS = 30 * 86_400_000;
const MAX_KNOWN = 5_000;

/** Names of the metrics that the tenant has spoken of in a month. */
export async function readKnownMetrics(
  timeseries: Reader,
  tenantId: string,
  now: number,
): Promise<string[]> {
  const rows = await timeseries.tenantQuery<{ metric: string }>(tenantId, {
    table: "latest",
    select: "metric",
    where: ["ts >= fromUnixTimestamp64Milli({since:Int64})"],
    groupBy: "metric",
    orderBy: "metric",
    limit: MAX_KNOWN,
    cost: COST,
    params: { since: now - KNOWN_WINDOW_MS },
  });
  return rows.map(({ metric }) => metric);
}

/**
 * Of each of these metrics the devices, of some or of all, that have spoken of it in a month; null where
 * there are more series than `most`.
 */
export async function readKnownSeries(
  timeseries: Reader,
  tenantId: string,
  query: { metrics: readonly string[]; ids: readonly string[] | null; now: number; most: number },
): Promise<Map<string, ReadonlySet<string>> | null> {
  const { metrics, ids, now, most } = query;
  const rows = await timeseries.tenantQuery<{ metric: string; device: string }>(tenantId, {
    table: "latest",
    select: "metric, device_id as device",
    where: [
      "ts >= fromUnixTimestamp64Milli({since:Int64})",
      "metric in {metrics:Array(String)}",
      ...(ids ? ["device_id in {devices:Array(String)}"] : []),
    ],
    groupBy: "metric, device",
    limit: most + 1,
    cost: COST,
    params: { since: now - KNOWN_WINDOW_MS, metrics, ...(ids ? { devices: ids } : {}) },
  });
  if (rows.length > most) return null;
  const known = new Map<string, Set<string>>();
  for (const { metric, device } of rows) {
    const devices = known.get(metric) ?? new Set();
    known.set(metric, devices.add(device));
  }
  return known;
}

/** Metrics that the devices have spoken of, with how many of them and when last. */
export async function readMetricNames(
  timeseries: Reader,
  tenantId: string,
  query: { ids: readonly string[] | null; since: number; kept: Kept; limit: number },
): Promise<{ metric: string; devices: number; lastTs: number }[]> {
  return timeseries.tenantQuery(tenantId, {
    table: "latest",
    select: `metric, uniq(device_id) as devices, toUnixTimestamp64Milli(max(ts)) as lastTs`,
    where: [
      "ts >= fromUnixTimestamp64Milli({since:Int64})",
      ...query.kept.where,
      ...(query.ids ? ["device_id in {devices:Array(String)}"] : []),
    ],
    groupBy: "metric",
    orderBy: "metric",
    limit: query.limit,
    cost: COST,
    params: {
      ...query.kept.params,
      since: query.since,
      ...(query.ids ? { devices: query.ids } : {}),
    },
  });
}
