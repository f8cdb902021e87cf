import { AppError } from "../kernel/index.ts";
import type { LogLevel } from "../protocol/index.ts";
import { SEVERITIES } from "./log-rows.ts";

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

export interface Conditions {
  where: string[];
  params: Record<string, unknown>;
}

export const TRACE_ID = /^[0-9a-f]{32}$/;

/** Device ids travel in the address of the request. */
export const MAX_DEVICES = 1_000;
const MAX_FIELDS = 10;
const MAX_WORDS_LENGTH = 500;
const MAX_WORDS = 30;

/** As conditions of a query, and what is bound in them. */
export function conditionsOf(search: LogSearch): Conditions {
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
