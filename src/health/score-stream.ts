import { STATE_LENGTH, scoreNext } from "./series-detector.ts";

/** Default distance of rows whose timestamps cannot be read. */
const DEFAULT_PERIOD_SECONDS = 300;
/** Numbers above this are milliseconds, below it seconds. */
const FIRST_MILLISECONDS = 1e11;
const MAX_LINE_LENGTH = 64 * 1024;
/** Words that tables write where a value is missing. */
const MISSING = new Set(["", "nan", "na", "n/a", "null", "none", "-"]);

/** A row that cannot be one; nothing after it is read. */
export class RowFault extends Error {
  /** Counted from 1, headings and empty lines included. */
  readonly line: number;

  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`);
    this.name = "RowFault";
    this.line = line;
  }
}

/**
 * Scores rows `timestamp,value`, or JSON objects with these names, one by one: one score from 0 to 1 for each row, before the next row is
 * read. A heading and empty lines are passed over; further columns are ignored; a row that says that
 * its value is missing scores 0. Throws {@link RowFault} at the first row that is none.
 */
export async function* scoreStream(
  lines: AsyncIterable<string> | Iterable<string>,
  options: { periodSeconds?: number } = {},
): AsyncGenerator<number> {
  const periodMs = (options.periodSeconds ?? DEFAULT_PERIOD_SECONDS) * 1000;
  const state = new Float32Array(STATE_LENGTH);
  let line = 0;
  let isFirst = true;
  let timestamp = -periodMs;
  for await (const given of lines) {
    line += 1;
    const text = line === 1 ? given.replace(/^\uFEFF/, "") : given;
    if (text.trim() === "") continue;
    const row = parseRow(text, line, isFirst);
    isFirst = false;
    if (!row) continue;
    timestamp = row.timestamp ?? timestamp + periodMs;
    yield scoreNext(state, 0, timestamp, row.value);
  }
}

/** Whole lines of a stream of text, however it is cut; refuses one that never ends. */
export async function* linesOf(
  chunks: AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  let line = 1;
  for await (const chunk of chunks) {
    rest += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    const whole = rest.split(/\r\n|\n|\r(?!$)/);
    rest = whole.pop() ?? "";
    for (const text of whole) {
      yield text;
      line += 1;
    }
    if (rest.length > MAX_LINE_LENGTH) {
      throw new RowFault(line, `longer than ${MAX_LINE_LENGTH} characters`);
    }
  }
  rest += decoder.decode();
  if (rest !== "") yield rest.replace(/\r$/, "");
}

interface Row {
  /** Undefined where it cannot be read: rows then follow at the period. */
  timestamp: number | undefined;
  /** Not a number where it is missing. */
  value: number;
}

function parseRow(text: string, line: number, mayBeHeading: boolean): Row | undefined {
  if (text.trimStart().startsWith("{")) return parseJson(text, line);
  const comma = text.indexOf(",");
  if (comma < 0) {
    if (mayBeHeading && Number.isNaN(parseTime(text))) return undefined;
    throw new RowFault(line, `a row is \`timestamp,value\`, not ${quoted(text)}`);
  }
  const [field = ""] = text.slice(comma + 1).split(",", 1);
  const time = parseTime(unquoted(text.slice(0, comma)));
  const word = unquoted(field);
  const value = MISSING.has(word.toLowerCase()) ? Number.NaN : numberOf(word);
  if (value === undefined) {
    if (mayBeHeading && Number.isNaN(time)) return undefined;
    throw new RowFault(line, `the value ${quoted(word)} is no number`);
  }
  return { timestamp: Number.isNaN(time) ? undefined : time, value };
}

/** `{"timestamp", "value"}`; `ts` and `time` are the same as `timestamp`. */
function parseJson(text: string, line: number): Row {
  let row: Record<string, unknown>;
  try {
    row = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new RowFault(line, `this is no JSON: ${quoted(text)}`);
  }
  if (!("value" in row)) throw new RowFault(line, `no "value" in ${quoted(text)}`);
  const { value } = row;
  if (value !== null && typeof value !== "number") {
    throw new RowFault(line, `the value ${quoted(JSON.stringify(value))} is no number`);
  }
  const time = parseTime(String(row.timestamp ?? row.ts ?? row.time ?? ""));
  return { timestamp: Number.isNaN(time) ? undefined : time, value: value ?? Number.NaN };
}

/** Decimal numbers only: "0x10" and the like are slips, not values. */
function numberOf(word: string): number | undefined {
  if (/^[+-]?(inf|infinity)$/i.test(word)) return Number.NaN;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(word)) return undefined;
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, Number(word)));
}

function unquoted(field: string): string {
  return field
    .trim()
    .replace(/^"(.*)"$/, "$1")
    .trim();
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

/** Milliseconds since the epoch from a number or an ISO date, with or without `T`; taken as UTC. */
function parseTime(text: string): number {
  const trimmed = text.trim();
  if (/^-?\d+(\.\d+)?$/.test(trimmed)) {
    const number = Number(trimmed);
    return Math.abs(number) > FIRST_MILLISECONDS ? number : number * 1000;
  }
  // A date alone is given midnight: without a time of day "Z" would make it unreadable.
  const iso = /^\d{4}-\d\d-\d\d$/.test(trimmed) ? `${trimmed}T00:00:00` : trimmed.replace(" ", "T");
  return Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(iso) ? iso : `${iso}Z`);
}
