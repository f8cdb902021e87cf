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
  /** Hours seen, 25 at most, times 24, and the newest hour of the day. */
  hours: 12,
  /** How often the newest value has stood there without a break; resets of a counter. */
  run: 13,
  /** For each feature the fourth root of its mean fourth power. */
  scales: 14,
  /** One level for each hour of a working day. */
  hourly: 22,
  /** Of what creeps, like `scales`. */
  creepScale: 46,
  blockMaximum: 47,
  blocks: 48,
  usualMaximum: 49,
  usualSpread: 50,
  reported: 51,
  refractory: 52,
  calibrated: 53,
  /** What the newest value was expected to be, around the origin. */
  expected: 54,
  /** The longest such stand of a value; where a counter's residual has been of late. */
  longestRun: 55,
  /** Rises so far while it is not known; then one of {@link Mode}. */
  mode: 56,
  /**
   * When a counter was last heard, in seconds that begin anew now and then; where the residual of a
   * value has been of late.
   */
  seconds: 57,
  /** How far each part of a day at the weekend stands from a working day. */
  weekend: 58,
} as const;

export const WEEKEND_PARTS = STATE_LENGTH - Place.weekend;

export const Mode = { value: -1, counter: -2 } as const;

/** Forgets everything: `value` is the first of its series. */
export function begin(state: Float32Array, base: number, value: number, mode = 0): void {
  state.fill(0, base, base + STATE_LENGTH);
  state[base + Place.mode] = mode;
  state[base + Place.hours] = -1;
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

export function at(state: Float32Array, place: number): number {
  return state[place] as number;
}

export function approach(state: Float32Array, place: number, target: number, share: number): void {
  const present = at(state, place);
  state[place] = present + share * (target - present);
}
