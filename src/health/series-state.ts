/**
 * What the detector knows about one series, as one run of floats in a slab: a million series fit in
 * 0.26 GB.
 */

/** Floats of state that one series takes. */
export const STATE_LENGTH = 64;
export const STATE_BYTES = STATE_LENGTH * Float32Array.BYTES_PER_ELEMENT;

/** Points before anything is said. */
export const WARM_UP = 50;
/** Of points of one series: a float holds all counts up to here exactly, and whole blocks fit into it. */
export const MAX_COUNT = 16_000_000;

/** Places in a series' state. */
export const Place = {
  count: 0,
  /** Two floats: together they hold a value exactly enough. The first one; the newest of a counter. */
  origin: 1,
  averages: 3,
  level: 6,
  variance: 7,
  previous: 8,
  residual: 9,
  volatility: 10,
  usualVolatility: 11,
  /** Whole numbers, see {@link Part}: hours, refractory, blocks. */
  counts: 12,
  /** The same: run and mode. */
  kind: 13,
  /** For each feature the fourth root of its mean fourth power. */
  scales: 14,
  /** One level for each hour of a working day. */
  hourly: 22,
  /** Of what creeps, like `scales`. */
  creepScale: 46,
  blockMaximum: 47,
  /** The parts into which values and steps are divided; see gaps.ts. Zero before they are. */
  divided: 48,
  usualMaximum: 49,
  usualSpread: 50,
  /** Scores in {@link SCORE_STEPS}: reported last, and of the newest value. */
  scored: 51,
  /** A bit for each part of the values, over two floats, and of the steps that was seen. */
  seenValues: 52,
  /** What the newest value was expected to be, around the origin. */
  expected: 54,
  /** The longest such stand of a value; where a counter's residual has been of late. */
  longestRun: 55,
  seenSteps: 56,
  /**
   * When a counter was last heard, in seconds that begin anew now and then; where the residual of a
   * value has been of late.
   */
  seconds: 57,
  /** How far each part of a day at the weekend stands from a working day. */
  weekend: 58,
} as const;

export const WEEKEND_PARTS = STATE_LENGTH - Place.weekend;

/** Whole numbers that share a float, which holds 24 bits exactly: where their bits begin, how many. */
export const Part = {
  /** In `counts`: hours seen, 25 at most, times 24, and the newest hour of the day; all of it plus one. */
  hours: { from: 0, bits: 10 },
  /** Points that the newest report still holds others back. */
  refractory: { from: 10, bits: 8 },
  blocks: { from: 18, bits: 5 },
  /** In `kind`: how often the newest value has stood there without a break; resets of a counter. */
  run: { from: 0, bits: 17 },
  /** Rises so far while it is not known; then one of {@link Mode}. */
  mode: { from: 17, bits: 6 },
  /** In `scored`. */
  reported: { from: 0, bits: 12 },
  present: { from: 12, bits: 12 },
  /** In `divided`: half octaves of a part's width and of the usual step, and the middle part. */
  width: { from: 0, bits: 8 },
  usualStep: { from: 8, bits: 8 },
  offset: { from: 16, bits: 8 },
} as const;
type PartPlace = (typeof Part)[keyof typeof Part];

export const MAX_RUN = 2 ** 17 - 1;
export const SCORE_STEPS = 4_095;

export const Mode = { value: 63, counter: 62 } as const;

/** Forgets everything: `value` is the first of its series. */
export function begin(state: Float32Array, base: number, value: number, mode = 0): void {
  state.fill(0, base, base + STATE_LENGTH);
  writePart(state, base + Place.kind, Part.mode, mode);
  state.fill(Number.NaN, base + Place.hourly, base + Place.hourly + 24);
  state.fill(Number.NaN, base + Place.weekend, base + STATE_LENGTH);
  moveOrigin(state, base, value);
}

export function originOf(state: Float32Array, base: number): number {
  return at(state, base + Place.origin) + at(state, base + Place.origin + 1);
}

export function moveOrigin(state: Float32Array, base: number, value: number): void {
  state[base + Place.origin] = value;
  state[base + Place.origin + 1] = value - at(state, base + Place.origin);
}

export function bitsOf(state: Float32Array, place: number): number {
  return at(state, place) | 0;
}

export function readPart(state: Float32Array, place: number, { from, bits }: PartPlace): number {
  return (bitsOf(state, place) >>> from) & ((1 << bits) - 1);
}

/** `value` is a whole number that has room there. */
export function writePart(
  state: Float32Array,
  place: number,
  { from, bits }: PartPlace,
  value: number,
): void {
  const others = bitsOf(state, place) & ~(((1 << bits) - 1) << from);
  state[place] = others | (value << from);
}

export function modeOf(state: Float32Array, base: number): number {
  return readPart(state, base + Place.kind, Part.mode);
}

export function at(state: Float32Array, place: number): number {
  return state[place] as number;
}

export function approach(state: Float32Array, place: number, target: number, share: number): void {
  const present = at(state, place);
  state[place] = present + share * (target - present);
}
