import { LIMITS } from "../kernel/index.ts";
import type { LogLevel } from "../protocol/index.ts";
import {
  decodePosition,
  encodePosition,
  type Position,
  SETTLED,
  type Timeseries,
} from "../timeseries/index.ts";
import { type Conditions, conditionsOf, type LogSearch } from "./log-conditions.ts";
import { levelOf } from "./log-rows.ts";

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

const MAX_TRACE_LINES = 2_000;
/** How many more lines are asked for where copies of lines filled the answer, and the most at once. */
const COPIES = 8;
const MAX_READ = 10_000;
const NOTHING: Conditions = { where: [], params: {} };

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
  const after = search.cursor ? decodePosition(search.cursor) : undefined;
  const rows = await readDistinct(timeseries, tenantId, conditionsOf(search), {
    ...{ limit: limit + 1, isNewestFirst: true, after },
  });
  const last = rows[limit - 1];
  return {
    items: rows.slice(0, limit).map(entryOf),
    nextCursor: rows.length > limit && last ? encodePosition(positionOf(last)) : null,
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

/** A trace's lines, oldest first. */
export async function readTraceLogs(
  timeseries: Timeseries,
  tenantId: string,
  traceId: string,
): Promise<LogEntry[]> {
  const conditions = { where: ["trace_id = {trace:String}"], params: { trace: traceId } };
  const order = { limit: MAX_TRACE_LINES, isNewestFirst: false };
  return (await readDistinct(timeseries, tenantId, conditions, order)).map(entryOf);
}

interface Stretch {
  limit: number;
  isNewestFirst: boolean;
  /** Lines beyond this one only. */
  after?: Position | undefined;
}

/**
 * Lines in the order of their key, each once. Copies that were not merged yet are left out here: a
 * `limit by` would make the engine read every line that matches before it gives the first.
 */
async function readDistinct(
  timeseries: Timeseries,
  tenantId: string,
  { where, params }: Conditions,
  { limit, isNewestFirst, after }: Stretch,
): Promise<LineRow[]> {
  const found: LineRow[] = [];
  let reached = after;
  // Each turn gives a line more, and after the first, whose copies were many, many more.
  for (let asked = limit; found.length < limit; asked = Math.min(MAX_READ, asked * COPIES)) {
    const beyond = reached ? beyondOf(reached, isNewestFirst) : NOTHING;
    const rows = await timeseries.tenantQuery<LineRow>(tenantId, {
      table: "logs",
      select: LINE,
      where: [...where, ...beyond.where],
      orderBy: isNewestFirst ? "ts desc, device_id desc, seq desc" : "ts, device_id, seq",
      limit: asked,
      params: { ...params, ...beyond.params },
    });
    for (const row of rows) {
      const before = found.at(-1);
      if (!before || !isSameLine(before, row)) found.push(row);
    }
    const last = rows.at(-1);
    if (!last || rows.length < asked) break;
    reached = positionOf(last);
  }
  return found.slice(0, limit);
}

function beyondOf({ ts, deviceId, seq }: Position, isNewestFirst: boolean): Conditions {
  const [than, orAt] = isNewestFirst ? ["<", "<="] : [">", ">="];
  return {
    where: [
      // The condition that the sort key serves.
      `ts ${orAt} fromUnixTimestamp64Milli({afterTs:Int64})`,
      `(at, device, seq) ${than} ({afterTs:Int64}, {afterDevice:String}, {afterSeq:Int64})`,
    ],
    params: { afterTs: ts, afterDevice: deviceId, afterSeq: seq },
  };
}

function isSameLine(left: LineRow, right: LineRow): boolean {
  return left.at === right.at && left.device === right.device && left.seq === right.seq;
}

function positionOf({ at, device, seq }: LineRow): Position {
  return { ts: at, deviceId: device, seq };
}

/** Lines of the same source just before and after a place, in the order of time. */
export async function linesAround(
  timeseries: Timeseries,
  tenantId: string,
  place: { deviceId: string; ts: number; seq: number },
  count: number,
): Promise<LogEntry[]> {
  const conditions = {
    where: ["device_id = {device:String}"],
    params: { device: place.deviceId },
  };
  const read = (isBefore: boolean) =>
    readDistinct(timeseries, tenantId, conditions, {
      // The line itself stands with those after it.
      limit: isBefore ? count : count + 1,
      isNewestFirst: isBefore,
      after: isBefore ? place : { ...place, seq: place.seq - 1 },
    });
  const [before, after] = await Promise.all([read(true), read(false)]);
  return [...before.reverse(), ...after].map(entryOf);
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
