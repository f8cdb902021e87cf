import { AppError, LIMITS } from "../kernel/index.ts";
import { steadyMean } from "../kernel/steady-mean.ts";
import type { DeviceEvent } from "../protocol/index.ts";
import { SETTLED, type Timeseries } from "../timeseries/index.ts";

/** `from` and `to` are device times, `to` excluded. */
export interface SeriesQuery {
  deviceId: string;
  metric: string;
  from: number;
  to: number;
  maxPoints: number;
}

/** What lies in one slice of time; `ts` is the time of its first value. */
export interface Bucket {
  ts: number;
  min: number;
  max: number;
  mean: number;
  count: number;
}

export interface LatestValue {
  metric: string;
  ts: number;
  value: number;
}

export interface ArmQuery {
  metric: string;
  deviceIds: readonly string[];
  from: number;
  to: number;
}

/** Figures over a set of devices; the numbers are null where there is no value. */
export interface ArmFigures {
  devices: number;
  /** Values in all. */
  count: number;
  /** Of the devices' own means; see `steadyMean`. */
  mean: number | null;
  min: number | null;
  max: number | null;
}

/** `from` and `to` are device times, `to` excluded: the next page ends where the last one began. */
export interface EventQuery {
  deviceId: string;
  from?: number;
  to?: number;
  limit: number;
}

export interface EventView {
  ts: number;
  type: string;
  /** Everything else that the device said. */
  details: Record<string, unknown>;
}

/** Place in the order in which the store took the points in. */
export interface Watermark {
  /** The store's time at the insert, milliseconds since the epoch. */
  receivedAt: number;
  deviceId: string;
  metric: string;
  ts: number;
}

export interface NewPoint {
  deviceId: string;
  metric: string;
  ts: number;
  value: number;
}

export interface NewPoints {
  points: NewPoint[];
  /** Where the next call goes on. */
  watermark: Watermark;
}

const MAX_SERIES_POINTS = 10_000;
const LATEST_WINDOW_MS = 30 * 86_400_000;
/** The year 2100. */
const FAR_FUTURE_MS = 4_102_444_800_000;
const MAX_METRICS = 1_000;
/** Device ids travel in the address of the request, which ClickHouse bounds at a megabyte. */
const DEVICES_PER_QUERY = 1_000;

const IN_WINDOW = [
  "ts >= fromUnixTimestamp64Milli({from:Int64})",
  "ts < fromUnixTimestamp64Milli({to:Int64})",
];

export async function readSeries(
  timeseries: Timeseries,
  tenantId: string,
  query: SeriesQuery,
): Promise<Bucket[]> {
  const { deviceId, metric, from, to } = query;
  if (!(to > from)) throw new AppError("invalid-request", "`to` must come after `from`");
  const maxPoints = Math.min(Math.max(1, Math.floor(query.maxPoints)), MAX_SERIES_POINTS);
  const read = (once: boolean) =>
    timeseries.tenantQuery<Omit<Bucket, "ts"> & { at: number; moments: number }>(tenantId, {
      table: "points",
      select: `toUnixTimestamp64Milli(min(ts)) as at, min(value) as min, max(value) as max,
        avg(value) as mean, count() as count,
        ${once ? "count()" : "groupBitmap(toUInt64(toUnixTimestamp64Milli(ts)))"} as moments`,
      metric,
      where: ["device_id = {device:String}", ...IN_WINDOW],
      groupBy: "intDiv(toUnixTimestamp64Milli(ts) - {from:Int64}, {width:Int64})",
      orderBy: "at",
      limit: maxPoints,
      final: once,
      params: {
        device: deviceId,
        from,
        to,
        width: Math.max(1, Math.ceil((to - from) / maxPoints)),
      },
    });
  // To take rows of one moment together takes longer than all else, and mostly there are none.
  const asTheyLie = await read(false);
  const isOnce = asTheyLie.every(({ count, moments }) => count === moments);
  const rows = isOnce ? asTheyLie : await read(true);
  return rows.map(({ at, min, max, mean, count }) => ({ ts: at, min, max, mean, count }));
}

export async function readLatest(
  timeseries: Timeseries,
  tenantId: string,
  deviceId: string,
  now: number,
): Promise<LatestValue[]> {
  const read = (since: number) =>
    timeseries.tenantQuery<{ metric: string; at: number; newest: number }>(tenantId, {
      table: "latest",
      select: `metric, toUnixTimestamp64Milli(max(ts)) as at, argMax(value, (ts, seq)) as newest`,
      where: ["device_id = {device:String}", "ts >= fromUnixTimestamp64Milli({since:Int64})"],
      groupBy: "metric",
      orderBy: "metric",
      limit: MAX_METRICS,
      params: { device: deviceId, since },
    });
  const recent = await read(now - LATEST_WINDOW_MS);
  const rows = recent.length > 0 ? recent : await read(0);
  return rows.map(({ metric, at, newest }) => ({ metric, ts: at, value: newest }));
}

export async function listMetrics(
  timeseries: Timeseries,
  tenantId: string,
  deviceId: string,
): Promise<string[]> {
  const rows = await timeseries.tenantQuery<{ metric: string }>(tenantId, {
    table: "latest",
    select: "metric",
    where: ["device_id = {device:String}"],
    groupBy: "metric",
    orderBy: "metric",
    limit: MAX_METRICS,
    params: { device: deviceId },
  });
  return rows.map((row) => row.metric);
}

const AGGREGATES = {
  mean: "avg(value)",
  min: "min(value)",
  max: "max(value)",
  p50: "quantile(0.5)(value)",
  p95: "quantile(0.95)(value)",
} as const;
export type Aggregate = keyof typeof AGGREGATES;

/** One figure a device, of those that said anything within the window. */
export async function readByDevice(
  timeseries: Timeseries,
  tenantId: string,
  query: ArmQuery & { aggregate: Aggregate },
): Promise<Map<string, number>> {
  const select = `device_id as device, ${AGGREGATES[query.aggregate]} as figure`;
  const rows = rowsByDevice<{ device: string; figure: number | null }>(
    timeseries,
    tenantId,
    query,
    select,
  );
  const figures = new Map<string, number>();
  for await (const { device, figure } of rows) {
    if (figure !== null && Number.isFinite(figure)) figures.set(device, figure);
  }
  return figures;
}

export async function readArm(
  timeseries: Timeseries,
  tenantId: string,
  query: ArmQuery,
): Promise<ArmFigures> {
  const total: ArmFigures = { devices: 0, count: 0, mean: null, min: null, max: null };
  const means: number[] = [];
  const select = "avg(value) as mean, count() as count, min(value) as min, max(value) as max";
  const rows = rowsByDevice<{ mean: number | null; count: number; min: number; max: number }>(
    timeseries,
    tenantId,
    query,
    select,
  );
  for await (const { mean, count, min, max } of rows) {
    // Values near the end of what a number can hold add up to more than it can: no mean.
    if (mean !== null) means.push(mean);
    total.devices += 1;
    total.count += count;
    total.min = Math.min(total.min ?? min, min);
    total.max = Math.max(total.max ?? max, max);
  }
  total.mean = steadyMean(means);
  return total;
}

/** One row for each device that said anything within the window. */
async function* rowsByDevice<Row>(
  timeseries: Timeseries,
  tenantId: string,
  query: ArmQuery,
  select: string,
): AsyncGenerator<Row> {
  const { deviceIds, metric, from, to } = query;
  for (let start = 0; start < deviceIds.length; start += DEVICES_PER_QUERY) {
    const devices = deviceIds.slice(start, start + DEVICES_PER_QUERY);
    yield* await timeseries.tenantQuery<Row>(tenantId, {
      table: "points",
      select,
      metric,
      where: ["has({devices:Array(String)}, device_id)", ...IN_WINDOW],
      groupBy: "device_id",
      limit: DEVICES_PER_QUERY,
      final: true,
      params: { devices, from, to },
    });
  }
}

/** Newest first; an event that was delivered twice is listed once. */
export async function listEvents(
  timeseries: Timeseries,
  tenantId: string,
  query: EventQuery,
): Promise<EventView[]> {
  const rows = await timeseries.tenantQuery<{ at: number; type: string; body: string }>(tenantId, {
    table: "device_events",
    select: "toUnixTimestamp64Milli(ts) as at, type, body",
    where: ["device_id = {device:String}", ...IN_WINDOW],
    orderBy: "ts desc, seq desc",
    limit: Math.min(query.limit, LIMITS.pageSize),
    final: true,
    params: { device: query.deviceId, from: query.from ?? 0, to: query.to ?? FAR_FUTURE_MS },
  });
  return rows.map(({ at, type, body }) => {
    const { ts: _ts, type: _type, ...details } = JSON.parse(body) as DeviceEvent;
    return { ts: at, type, details };
  });
}

/**
 * Points in the order in which the store took them in, from the watermark on. Points that are late by
 * more than a day are left out: a backlog fires no live alarm.
 */
export async function readPointsSince(
  timeseries: Timeseries,
  tenantId: string,
  watermark: Watermark,
  limit: number,
): Promise<NewPoints> {
  const rows = await timeseries.tenantQuery<NewPointRow>(tenantId, {
    table: "points",
    select: `device_id as device, metric, toUnixTimestamp64Milli(ts) as at, value,
      toUnixTimestamp64Milli(received_at) as received`,
    where: [
      "received_at >= fromUnixTimestamp64Milli({receivedAt:Int64})",
      SETTLED,
      "ts >= fromUnixTimestamp64Milli({receivedAt:Int64}) - interval 1 day",
      `(received, device, metric, at) >
        ({receivedAt:Int64}, {device:String}, {metric:String}, {ts:Int64})`,
    ],
    orderBy: "received, device, metric, at",
    // A message that came twice within one insert is still there twice.
    limitBy: "1 by received, device, metric, at",
    limit,
    params: {
      receivedAt: watermark.receivedAt,
      device: watermark.deviceId,
      metric: watermark.metric,
      ts: watermark.ts,
    },
  });
  const last = rows.at(-1);
  return {
    points: rows.map(({ device, metric, at, value }) => {
      return { deviceId: device, metric, ts: at, value };
    }),
    watermark: last
      ? { receivedAt: last.received, deviceId: last.device, metric: last.metric, ts: last.at }
      : watermark,
  };
}

interface NewPointRow {
  device: string;
  metric: string;
  at: number;
  value: number;
  received: number;
}
