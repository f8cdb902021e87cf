import { AppError, LIMITS } from "../kernel/index.ts";
import { steadyMean } from "../kernel/steady-mean.ts";
import type { LogLevel } from "../protocol/index.ts";
import { decodePosition, encodePosition, SETTLED, type Timeseries } from "../timeseries/index.ts";
import { levelOf, SEVERITIES } from "./log-rows.ts";

/** All conditions hold together. Times are device times in milliseconds, `to` excluded. */
export interface LogSearch {
  /** Words that all stand in the message, in any order and case. */
  words?: string;
  levels?: readonly LogLevel[];
  deviceId?: string;
  /** Lines of any of these, at most `MAX_DEVICES`. */
  deviceIds?: readonly string[];
  logger?: string;
  /** Attributes of the line, each equal to this text, number or truth value as JSON writes it. */
  fields?: Readonly<Record<string, string>>;
  from?: number;
  to?: number;
  traceId?: string;
}

export interface LogEntry {
  ts: number;
  seq: number;
  level: LogLevel;
  /** Null for a line of the platform. */
  deviceId: string | null;
  message: string;
  logger: string | null;
  traceId: string | null;
  spanId: string | null;
  attributes: Record<string, unknown>;
}

export interface LogPage {
  /** Newest first. */
  items: LogEntry[];
  nextCursor: string | null;
}

/** How far a follower has read, in the order in which the store took the lines in. */
export interface TailPosition {
  /** The store's time at the insert, milliseconds since the epoch. */
  receivedAt: number;
  ts: number;
  deviceId: string;
  seq: number;
}

export interface ErrorFigures {
  /** Lines at level error or above. */
  lines: number;
  /** Devices that wrote one. */
  devices: number;
  /** Over all devices asked for; no single one of them moves it (see `steadyMean`). */
  steadyLinesPerDevice: number;
  linesPerDeviceHour: number;
}

export const TRACE_ID = /^[0-9a-f]{32}$/;

/** Device ids travel in the address of the request. */
export const MAX_DEVICES = 1_000;
const MAX_FIELDS = 10;
const MAX_WORDS_LENGTH = 500;
const MAX_WORDS = 30;
const MAX_TRACE_LINES = 2_000;
const DEVICES_PER_QUERY = 1_000;

const LINE = `toUnixTimestamp64Milli(ts) as at, seq, severity, device_id as device, message, logger,
  trace_id as trace, span_id as span, attributes`;

interface LineRow {
  at: number;
  seq: number;
  severity: number;
  device: string;
  message: string;
  logger: string;
  trace: string;
  span: string;
  attributes: string;
}

/** One page of the lines that match, newest first; repeated deliveries of a line count once. */
export async function searchLogs(
  timeseries: Timeseries,
  tenantId: string,
  search: LogSearch & { limit: number; cursor?: string | undefined },
): Promise<LogPage> {
  const limit = Math.min(Math.max(1, search.limit), LIMITS.pageSize);
  const { where, params } = conditionsOf(search);
  if (search.cursor) {
    const after = decodePosition(search.cursor);
    // The first condition is the one that the sort key serves.
    where.push("ts <= fromUnixTimestamp64Milli({afterTs:Int64})");
    where.push("(at, device, seq) < ({afterTs:Int64}, {afterDevice:String}, {afterSeq:UInt64})");
    Object.assign(params, {
      afterTs: after.ts,
      afterDevice: after.deviceId,
      afterSeq: after.seq,
    });
  }
  const rows = await timeseries.tenantQuery<LineRow>(tenantId, {
    table: "logs",
    select: LINE,
    where,
    orderBy: "ts desc, device_id desc, seq desc",
    limitBy: "1 by ts, device_id, seq",
    limit: limit + 1,
    params,
  });
  const last = rows[limit - 1];
  return {
    items: rows.slice(0, limit).map(entryOf),
    nextCursor:
      rows.length > limit && last
        ? encodePosition({ ts: last.at, deviceId: last.device, seq: last.seq })
        : null,
  };
}

/** Lines that came in after `position`, in the order of their arrival. */
export async function tailLogs(
  timeseries: Timeseries,
  tenantId: string,
  position: TailPosition,
  search: LogSearch & { limit: number },
): Promise<{ items: LogEntry[]; position: TailPosition }> {
  const { where, params } = conditionsOf(search);
  const rows = await timeseries.tenantQuery<LineRow & { received: number }>(tenantId, {
    table: "logs",
    select: `${LINE}, toUnixTimestamp64Milli(received_at) as received`,
    where: [
      ...where,
      SETTLED,
      "received_at >= fromUnixTimestamp64Milli({receivedAt:Int64})",
      `(received, at, device, seq) >
        ({receivedAt:Int64}, {afterTs:Int64}, {afterDevice:String}, {afterSeq:UInt64})`,
    ],
    orderBy: "received, at, device, seq",
    limit: Math.min(Math.max(1, search.limit), LIMITS.pageSize),
    params: {
      ...params,
      receivedAt: position.receivedAt,
      afterTs: position.ts,
      afterDevice: position.deviceId,
      afterSeq: position.seq,
    },
  });
  const last = rows.at(-1);
  return {
    items: rows.map(entryOf),
    position: last
      ? { receivedAt: last.received, ts: last.at, deviceId: last.device, seq: last.seq }
      : position,
  };
}

export async function countErrors(
  timeseries: Timeseries,
  tenantId: string,
  query: { deviceIds: readonly string[]; from: number; to: number },
): Promise<ErrorFigures> {
  const total = { lines: 0, devices: 0 };
  const perDevice: number[] = [];
  for (let start = 0; start < query.deviceIds.length; start += DEVICES_PER_QUERY) {
    const rows = await timeseries.tenantQuery<{ lines: number }>(tenantId, {
      table: "logs",
      select: "uniqExact(ts, seq) as lines",
      where: [
        "has({devices:Array(String)}, device_id)",
        "severity >= {severity:UInt8}",
        "ts >= fromUnixTimestamp64Milli({from:Int64})",
        "ts < fromUnixTimestamp64Milli({to:Int64})",
      ],
      groupBy: "device_id",
      limit: DEVICES_PER_QUERY,
      params: {
        devices: query.deviceIds.slice(start, start + DEVICES_PER_QUERY),
        severity: SEVERITIES.error,
        from: query.from,
        to: query.to,
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

/** Devices that wrote an error within the window, each with the time of its latest. */
export async function devicesWithErrors(
  timeseries: Timeseries,
  tenantId: string,
  query: { from: number; to: number; limit: number },
): Promise<{ deviceId: string; ts: number }[]> {
  const rows = await timeseries.tenantQuery<{ device: string; last: number }>(tenantId, {
    table: "logs",
    select: "device_id as device, toUnixTimestamp64Milli(max(ts)) as last",
    where: [
      "severity >= {severity:UInt8}",
      "ts >= fromUnixTimestamp64Milli({from:Int64})",
      "ts < fromUnixTimestamp64Milli({to:Int64})",
    ],
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

/** A trace's lines, oldest first. */
export async function readTraceLogs(
  timeseries: Timeseries,
  tenantId: string,
  traceId: string,
): Promise<LogEntry[]> {
  const rows = await timeseries.tenantQuery<LineRow>(tenantId, {
    table: "logs",
    select: LINE,
    where: ["trace_id = {trace:String}"],
    orderBy: "ts, device_id, seq",
    limitBy: "1 by ts, device_id, seq",
    limit: MAX_TRACE_LINES,
    params: { trace: traceId },
  });
  return rows.map(entryOf);
}

function conditionsOf(search: LogSearch): { where: string[]; params: Record<string, unknown> } {
  const where: string[] = [];
  const params: Record<string, unknown> = {};
  const add = (condition: string, name: string, value: unknown) => {
    where.push(condition);
    params[name] = value;
  };
  const words = searchWords(search.words ?? "");
  if (words) add("hasAllTokens(message, {words:String})", "words", words);
  if (search.levels && search.levels.length > 0) {
    const severities = search.levels.map((level) => SEVERITIES[level]);
    add("has({severities:Array(UInt8)}, severity)", "severities", severities);
  }
  if (search.deviceId !== undefined) add("device_id = {device:String}", "device", search.deviceId);
  if (search.deviceIds !== undefined) {
    if (search.deviceIds.length > MAX_DEVICES) {
      throw new AppError("invalid-request", `more than ${MAX_DEVICES} devices: narrow the query`, {
        limit: MAX_DEVICES,
      });
    }
    add("has({devices:Array(String)}, device_id)", "devices", [...search.deviceIds]);
  }
  if (search.logger !== undefined) add("logger = {logger:String}", "logger", search.logger);
  addFields(search.fields ?? {}, where, params);
  if (search.from !== undefined) {
    add("ts >= fromUnixTimestamp64Milli({from:Int64})", "from", Math.floor(search.from));
  }
  if (search.to !== undefined) {
    add("ts < fromUnixTimestamp64Milli({to:Int64})", "to", Math.ceil(search.to));
  }
  if (search.traceId !== undefined) {
    if (!TRACE_ID.test(search.traceId)) {
      throw new AppError("invalid-request", "a trace id has 32 hex digits");
    }
    add("trace_id = {trace:String}", "trace", search.traceId);
  }
  return { where, params };
}

function addFields(
  fields: Readonly<Record<string, string>>,
  where: string[],
  params: Record<string, unknown>,
): void {
  const entries = Object.entries(fields);
  if (entries.length > MAX_FIELDS) {
    throw new AppError("invalid-request", "too many fields to search by", { limit: MAX_FIELDS });
  }
  for (const [index, [key, value]] of entries.entries()) {
    // Names with a full stop are one key, as OpenTelemetry writes them, not a path.
    where.push(`JSONExtractString(attributes, {key${index}:String}) = {value${index}:String}
      or JSONExtractRaw(attributes, {key${index}:String}) = {value${index}:String}`);
    params[`key${index}`] = key;
    params[`value${index}`] = value;
  }
}

/** Lines of the same source just before and after a place, in the order of time. */
export async function linesAround(
  timeseries: Timeseries,
  tenantId: string,
  place: { deviceId: string; ts: number; seq: number },
  count: number,
): Promise<LogEntry[]> {
  const read = (isBefore: boolean) =>
    timeseries.tenantQuery<LineRow>(tenantId, {
      table: "logs",
      select: LINE,
      where: [
        "device_id = {device:String}",
        isBefore
          ? "ts <= fromUnixTimestamp64Milli({ts:Int64})"
          : "ts >= fromUnixTimestamp64Milli({ts:Int64})",
        isBefore
          ? "(at, seq) < ({ts:Int64}, {seq:UInt64})"
          : "(at, seq) >= ({ts:Int64}, {seq:UInt64})",
      ],
      orderBy: isBefore ? "ts desc, seq desc" : "ts, seq",
      limitBy: "1 by ts, device_id, seq",
      // The line itself stands with those after it.
      limit: isBefore ? count : count + 1,
      params: { device: place.deviceId, ts: place.ts, seq: place.seq },
    });
  const [before, after] = await Promise.all([read(true), read(false)]);
  return [...before.reverse(), ...after].map(entryOf);
}

/** The text without what separates words; empty where it holds none. */
function searchWords(text: string): string {
  if (text.length > MAX_WORDS_LENGTH) {
    throw new AppError("invalid-request", "too many words to search for", {
      limit: MAX_WORDS_LENGTH,
    });
  }
  // As the text index splits: ASCII letters and digits, and everything beyond ASCII, make words.
  const words = text.toLowerCase().match(/[a-z0-9\u0080-\uffff]+/g) ?? [];
  return words.slice(0, MAX_WORDS).join(" ");
}

function entryOf(row: LineRow): LogEntry {
  return {
    ts: row.at,
    seq: row.seq,
    level: levelOf(row.severity),
    deviceId: row.device || null,
    message: row.message,
    logger: row.logger || null,
    traceId: row.trace || null,
    spanId: row.span || null,
    attributes: JSON.parse(row.attributes || "{}") as Record<string, unknown>,
  };
}
