import { STATE_LENGTH, scoreNext } from "./series-detector.ts";

/** Default distance of rows whose timestamps cannot be read. */
const DEFAULT_PERIOD_SECONDS = 300;
/** Numbers above this are milliseconds, below it seconds. */
const FIRST_MILLISECONDS = 1e11;

/**
 * Scores rows `timestamp,value` one by one: one score from 0 to 1 for each row, before the next row is
 * read. A heading is passed over; a row without a usable value scores 0.
 */
export async function* scoreStream(
  lines: AsyncIterable<string> | Iterable<string>,
  options: { periodSeconds?: number } = {},
): AsyncGenerator<number> {
  const periodMs = (options.periodSeconds ?? DEFAULT_PERIOD_SECONDS) * 1000;
  const state = new Float32Array(STATE_LENGTH);
  let row = 0;
  for await (const line of lines) {
    const [time = "", text = ""] = line.split(",");
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (row === 0 && Number.isNaN(value) && Number.isNaN(parseTime(time))) continue;
    if (line.trim() === "") continue;
    const timestamp = parseTime(time);
    yield scoreNext(state, 0, Number.isNaN(timestamp) ? row * periodMs : timestamp, value);
    row += 1;
  }
}

/** Milliseconds since the epoch from a number or an ISO date, with or without `T`; taken as UTC. */
function parseTime(text: string): number {
  const trimmed = text.trim();
  if (/^-?\d+(\.\d+)?$/.test(trimmed)) {
    const number = Number(trimmed);
    return Math.abs(number) > FIRST_MILLISECONDS ? number : number * 1000;
  }
  const iso = trimmed.replace(" ", "T");
  return Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(iso) ? iso : `${iso}Z`);
}
