import { approach, at, Part, Place, readPart, WEEKEND_PARTS, writePart } from "./series-state.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const PART_MS = DAY_MS / WEEKEND_PARTS;
const FIRST_DAY_RATE = 0.3;
const HOUR_RATE = 0.06;
const DAY_HOURS = 24;

/** Whether each hour of a day was seen. */
export function knowsDay(state: Float32Array, base: number): boolean {
  return readPart(state, base + Place.counts, Part.hours) > (DAY_HOURS + 1) * 24;
}

/** What this time of the week usually shows; `level` until that is known. */
export function expectedAt(
  state: Float32Array,
  base: number,
  timestampMs: number,
  level: number,
): number {
  const day = between(state, base + Place.hourly, 24, timestampMs / HOUR_MS);
  if (Number.isNaN(day)) return level;
  if (!isWeekend(timestampMs)) return day;
  const apart = between(state, base + Place.weekend, WEEKEND_PARTS, timestampMs / PART_MS);
  return Number.isNaN(apart) ? day : day + apart;
}

export function learnHour(
  state: Float32Array,
  base: number,
  timestampMs: number,
  calm: number,
): void {
  const hour = modulo(Math.floor(timestampMs / HOUR_MS), 24);
  countHour(state, base, hour);
  const place = base + Place.hourly + hour;
  const known = knowsDay(state, base);
  if (known && isWeekend(timestampMs)) {
    const day = between(state, base + Place.hourly, 24, timestampMs / HOUR_MS);
    const part = modulo(Math.floor(timestampMs / PART_MS), WEEKEND_PARTS);
    learn(state, base + Place.weekend + part, calm - day, HOUR_RATE);
  } else learn(state, place, calm, known ? HOUR_RATE : FIRST_DAY_RATE);
}

function learn(state: Float32Array, place: number, value: number, rate: number): void {
  if (Number.isNaN(at(state, place))) state[place] = value;
  else approach(state, place, value, rate);
}

function countHour(state: Float32Array, base: number, hour: number): void {
  const before = readPart(state, base + Place.counts, Part.hours) - 1;
  const seen = before < 0 ? 0 : Math.floor(before / 24);
  if (before >= 0 && before % 24 === hour) return;
  const now = Math.min(seen + 1, DAY_HOURS + 1) * 24 + hour;
  writePart(state, base + Place.counts, Part.hours, now + 1);
}

/** Between the middles of the two nearest of `count` bins that stand for one turn; NaN if unknown. */
function between(state: Float32Array, place: number, count: number, turn: number): number {
  const bins = turn - 0.5;
  const whole = Math.floor(bins);
  const first = modulo(whole, count);
  const before = at(state, place + first);
  const after = at(state, place + ((first + 1) % count));
  if (Number.isNaN(before)) return after;
  return Number.isNaN(after) ? before : before + (bins - whole) * (after - before);
}

/** Saturday and Sunday, UTC; the epoch was a Thursday. */
function isWeekend(timestampMs: number): boolean {
  return modulo(Math.floor(timestampMs / DAY_MS) - 2, 7) < 2;
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
