import { steadyMean } from "../kernel/steady-mean.ts";
import type { Timeseries } from "../timeseries/index.ts";
import { conditionsOf, type LogSearch } from "./log-conditions.ts";
import { SEVERITIES } from "./log-rows.ts";

export interface ErrorFigures {
  /** Lines at level error or above. */
  lines: number;
  /** Devices that wrote one. */
  devices: number;
  /** Over all devices asked for; no single one of them moves it (see `steadyMean`). */
  steadyLinesPerDevice: number;
  linesPerDeviceHour: number;
}

export interface ErrorQuery {
  deviceIds: readonly string[];
  from: number;
  to: number;
  /** For each of the devices the time from which on its lines count, where that is not `from`. */
  fromEach?: readonly number[];
}

const DEVICES_PER_QUERY = 1_000;
/** Lines at least as severe as an error, from one time to another. */
const ERRORS_WITHIN = [
  "severity >= {severity:UInt8}",
  "ts >= fromUnixTimestamp64Milli({from:Int64})",
  "ts < fromUnixTimestamp64Milli({to:Int64})",
];
const HOUR_MS = 3_600_000;

export async function countErrors(
  timeseries: Timeseries,
  tenantId: string,
  query: ErrorQuery,
): Promise<ErrorFigures> {
  const total = { lines: 0, devices: 0 };
  const perDevice: number[] = [];
  for (let start = 0; start < query.deviceIds.length; start += DEVICES_PER_QUERY) {
    const rows = await timeseries.tenantQuery<{ lines: number }>(tenantId, {
      table: "logs",
      select: "uniqExact(ts, seq) as lines",
      where: [
        "has({devices:Array(String)}, device_id)",
        ...ERRORS_WITHIN,
        ...(query.fromEach ? [OWN_TIME] : []),
      ],
      groupBy: "device_id",
      limit: DEVICES_PER_QUERY,
      params: {
        devices: query.deviceIds.slice(start, start + DEVICES_PER_QUERY),
        severity: SEVERITIES.error,
        from: query.from,
        to: query.to,
        ...(query.fromEach
          ? { fromEach: query.fromEach.slice(start, start + DEVICES_PER_QUERY) }
          : {}),
      },
    });
    for (const { lines } of rows) perDevice.push(lines);
  }
  total.lines = perDevice.reduce((sum, lines) => sum + lines, 0);
  total.devices = perDevice.length;
  const silent = new Array<number>(Math.max(0, query.deviceIds.length - perDevice.length)).fill(0);
  const steady = steadyMean([...perDevice, ...silent]) ?? 0;
  const deviceHours = (query.deviceIds.length * (query.to - query.from)) / 3_600_000;
  return {
    ...total,
    steadyLinesPerDevice: steady,
    linesPerDeviceHour: deviceHours > 0 ? total.lines / deviceHours : 0,
  };
}

const OWN_TIME =
  "toUnixTimestamp64Milli(ts) >= " +
  "transform(device_id, {devices:Array(String)}, {fromEach:Array(Int64)}, {from:Int64})";

/** Error lines of each device that wrote one, by the hour since `from`. */
export async function errorsByHour(
  timeseries: Timeseries,
  tenantId: string,
  { deviceIds, from, to }: Omit<ErrorQuery, "fromEach">,
): Promise<Map<string, number[]>> {
  const hours = Math.ceil((to - from) / HOUR_MS);
  const found = new Map<string, number[]>();
  for (let start = 0; start < deviceIds.length; start += DEVICES_PER_QUERY) {
    const devices = deviceIds.slice(start, start + DEVICES_PER_QUERY);
    const rows = await timeseries.tenantQuery<{ device: string; hour: number; lines: number }>(
      tenantId,
      {
        table: "logs",
        select:
          "device_id as device, uniqExact(ts, seq) as lines, " +
          `intDiv(toUnixTimestamp64Milli(ts) - {from:Int64}, ${HOUR_MS}) as hour`,
        where: ["has({devices:Array(String)}, device_id)", ...ERRORS_WITHIN],
        groupBy: "device_id, hour",
        limit: DEVICES_PER_QUERY * hours,
        params: { devices, severity: SEVERITIES.error, from, to },
      },
    );
    for (const { device, hour, lines } of rows) {
      const series = found.get(device) ?? new Array<number>(hours).fill(0);
      series[Number(hour)] = Number(lines);
      found.set(device, series);
    }
  }
  return found;
}

/** Devices that wrote an error within the window, each with the time of its latest. */
export async function devicesWithErrors(
  timeseries: Timeseries,
  tenantId: string,
  query: { from: number; to: number; limit: number },
): Promise<{ deviceId: string; ts: number }[]> {
  const rows = await timeseries.tenantQuery<{ device: string; last: number }>(tenantId, {
    table: "logs",
    select: "device_id as device, toUnixTimestamp64Milli(max(ts)) as last",
    where: [...ERRORS_WITHIN],
    groupBy: "device_id",
    limit: query.limit,
    params: { severity: SEVERITIES.error, from: query.from, to: query.to },
  });
  return rows.map(({ device, last }) => ({ deviceId: device, ts: Number(last) }));
}

/** How many lines match, of each device that wrote one; the platform's own under "". */
export async function countByDevice(
  timeseries: Timeseries,
  tenantId: string,
  search: LogSearch,
  limit: number,
): Promise<Map<string, number>> {
  const { where, params } = conditionsOf(search);
  const rows = await timeseries.tenantQuery<{ device: string; lines: number }>(tenantId, {
    table: "logs",
    select: "device_id as device, uniqExact(ts, seq) as lines",
    where,
    groupBy: "device_id",
    orderBy: "lines desc, device",
    limit,
    params,
  });
  return new Map(rows.map(({ device, lines }) => [device, Number(lines)]));
}
