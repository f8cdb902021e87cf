/**
 * Scores one series of measurements as they come, without looking ahead. Each of several features is
 * measured against the root mean square of its own past; the most surprising one counts, calibrated by
 * the highest surprises that this series has shown before, so that a score means the same on every
 * series. All state of a series is one run of floats in a slab: a million series fit in 0.25 GB.
 */

/** Floats of state that one series takes. */
export const STATE_LENGTH = 55;
export const STATE_BYTES = STATE_LENGTH * Float32Array.BYTES_PER_ELEMENT;

/** Points for which the short, middle and long average remember. */
const AVERAGE_SPANS = [4, 16, 64] as const;
const LEVEL_SPAN = 2_000;
const SCALE_SPAN = 2_000;
const RESIDUAL_SPAN = 12;
const VOLATILITY_SPAN = 16;

/** Points before anything is said. */
const WARM_UP = 50;
/** What lies further out than this many deviations teaches the averages no more than this. */
const WINSOR = 8;
/** The smallest scale, as a share of the series' deviation: a feature that stood still stays calm. */
const SCALE_FLOOR = 0.02;
const MAX_SURPRISE = 50;
/** Beyond it the squares of a 32-bit float would run over, and nothing would be told apart again. */
const MAX_VALUE = 1e18;
/** Counts above this make no difference, and a float holds them exactly. */
const MAX_COUNT = 1_000_000;

const HOUR_MS = 3_600_000;
const FIRST_DAY_RATE = 0.3;
const HOUR_RATE = 0.06;

const BLOCK_LENGTH = 200;
const BLOCK_MEMORY = 30;
/** What block maxima look like before any was seen, and how many blocks that belief is worth. */
const PRIOR_MAXIMUM = 4;
const PRIOR_SPREAD = 1.5;
const PRIOR_BLOCKS = 3;

/** Points after a report in which only something more surprising is reported. */
export const REFRACTORY_POINTS = 200;
const REPORTABLE = 2;

// Places in a series' state.
const COUNT = 0;
const ORIGIN = 1; // Two floats: together they hold the first value exactly enough.
const AVERAGES = 3;
const LEVEL = 6;
const VARIANCE = 7;
const PREVIOUS = 8;
const RESIDUAL = 9;
const VOLATILITY = 10;
const USUAL_VOLATILITY = 11;
const HOUR = 12;
const HOURS_SEEN = 13;
const SCALES = 14; // One mean square for each feature.
const HOURLY = 22; // One level for each hour of the day.
const BLOCK_POINTS = 46;
const BLOCK_MAXIMUM = 47;
const BLOCKS = 48;
const USUAL_MAXIMUM = 49;
const USUAL_SPREAD = 50;
const REPORTED = 51;
const REFRACTORY = 52;
const CALIBRATED = 53;
const EXPECTED = 54; // What the newest value was expected to be, around the origin.

const Feature = { short: 0, level: 3, hourly: 4, residual: 5, step: 6, volatility: 7 } as const;

/**
 * Takes the next value of the series whose state begins at `base` and returns its score: 0 for what is
 * usual or has been reported already, towards 1 the more unusual it is.
 */
export function scoreNext(
  state: Float32Array,
  base: number,
  timestampMs: number,
  given: number,
): number {
  if (!Number.isFinite(given) || !Number.isFinite(timestampMs)) return 0;
  const count = at(state, base + COUNT);
  const value = clamp(given, MAX_VALUE);
  // Before the series is known it cannot be told for a slip, and would stand for its scale.
  if (value !== given && count < WARM_UP) return 0;
  if (count === 0) begin(state, base, value);
  // Around the first value, floats keep what is small about a series of large numbers.
  const origin = at(state, base + ORIGIN) + at(state, base + ORIGIN + 1);
  const x = value - origin;
  const surprise = Math.min(MAX_SURPRISE, surpriseOf(state, base, timestampMs, x, origin));
  state[base + COUNT] = Math.min(count + 1, MAX_COUNT);
  const calibrated = calibrate(state, base, surprise, count >= WARM_UP);
  state[base + CALIBRATED] = calibrated;
  return toScore(holdBack(state, base, calibrated));
}

/** Score of the newest value before the refractory period is applied: whether things are calm again. */
export function presentScore(state: Float32Array, base: number): number {
  return toScore(at(state, base + CALIBRATED));
}

/** What the newest value was expected to be: at this hour of the day, or at all. */
export function expectedValue(state: Float32Array, base: number): number {
  return at(state, base + ORIGIN) + at(state, base + ORIGIN + 1) + at(state, base + EXPECTED);
}

function begin(state: Float32Array, base: number, value: number): void {
  state.fill(0, base, base + STATE_LENGTH);
  state[base + ORIGIN] = value;
  state[base + ORIGIN + 1] = value - at(state, base + ORIGIN);
  state[base + HOUR] = -1;
  state.fill(Number.NaN, base + HOURLY, base + HOURLY + 24);
}

/** The most surprising feature of this value, in deviations; learns from it at the same time. */
function surpriseOf(
  state: Float32Array,
  base: number,
  timestampMs: number,
  x: number,
  origin: number,
): number {
  const count = at(state, base + COUNT);
  const level = at(state, base + LEVEL);
  const deviation = Math.sqrt(at(state, base + VARIANCE));
  const reach = WINSOR * deviation;
  const calm = count >= WARM_UP ? level + clamp(x - level, reach) : x;
  const floor = SCALE_FLOOR * deviation + 1e-9 * Math.abs(level + origin) + 1e-12;
  const feature = (index: number, distance: number) =>
    measure(state, base + SCALES + index, distance, count, floor);

  let worst = 0;
  let finer = x;
  let input = calm;
  for (let index = 0; index < AVERAGE_SPANS.length; index += 1) {
    const place = base + AVERAGES + index;
    worst = Math.max(worst, feature(Feature.short + index, finer - at(state, place)));
    approach(state, place, input, rate(AVERAGE_SPANS[index] as number, count));
    finer = input = at(state, place);
  }

  worst = Math.max(worst, feature(Feature.level, x - level));
  const levelRate = Math.max(1 / (count + 1), 1 / LEVEL_SPAN);
  const away = calm - level;
  state[base + LEVEL] = level + levelRate * away;
  state[base + VARIANCE] = (1 - levelRate) * (at(state, base + VARIANCE) + levelRate * away * away);

  const expected = expectedAt(state, base, timestampMs, level);
  state[base + EXPECTED] = expected;
  const residual = x - expected;
  worst = Math.max(worst, feature(Feature.hourly, residual));
  approach(state, base + RESIDUAL, clamp(residual, reach), 2 / (RESIDUAL_SPAN + 1));
  worst = Math.max(worst, feature(Feature.residual, at(state, base + RESIDUAL)));
  learnHour(state, base, timestampMs, calm);

  const step = x - at(state, base + PREVIOUS);
  state[base + PREVIOUS] = x;
  worst = Math.max(worst, feature(Feature.step, step));
  const usualStep = WINSOR * Math.sqrt(at(state, base + SCALES + Feature.step));
  approach(
    state,
    base + VOLATILITY,
    Math.min(Math.abs(step), usualStep),
    2 / (VOLATILITY_SPAN + 1),
  );
  const volatility = at(state, base + VOLATILITY);
  worst = Math.max(
    worst,
    feature(Feature.volatility, volatility - at(state, base + USUAL_VOLATILITY)),
  );
  approach(state, base + USUAL_VOLATILITY, volatility, Math.max(1 / (count + 1), 1 / SCALE_SPAN));
  return worst;
}

/** How far out `distance` lies among its own past; the past then takes it in, winsorised. */
function measure(
  state: Float32Array,
  place: number,
  distance: number,
  count: number,
  floor: number,
): number {
  const meanSquare = at(state, place);
  const scale = Math.max(Math.sqrt(meanSquare), floor);
  const warm = count >= WARM_UP;
  const known = warm ? clamp(distance, WINSOR * scale) : distance;
  const learning = Math.max(1 / (count + 1), 1 / SCALE_SPAN);
  state[place] = meanSquare + learning * (known * known - meanSquare);
  return warm ? Math.abs(distance) / scale : 0;
}

/** What this time of day usually shows, between the two nearest hours; the level until they are known. */
function expectedAt(state: Float32Array, base: number, timestampMs: number, level: number): number {
  const hours = timestampMs / HOUR_MS - 0.5;
  const first = ((Math.floor(hours) % 24) + 24) % 24;
  const weight = hours - Math.floor(hours);
  const before = at(state, base + HOURLY + first);
  const after = at(state, base + HOURLY + ((first + 1) % 24));
  if (Number.isNaN(before)) return Number.isNaN(after) ? level : after;
  return Number.isNaN(after) ? before : before + weight * (after - before);
}

function learnHour(state: Float32Array, base: number, timestampMs: number, calm: number): void {
  const hour = ((Math.floor(timestampMs / HOUR_MS) % 24) + 24) % 24;
  if (hour !== at(state, base + HOUR)) {
    state[base + HOUR] = hour;
    state[base + HOURS_SEEN] = Math.min(at(state, base + HOURS_SEEN) + 1, MAX_COUNT);
  }
  const place = base + HOURLY + hour;
  if (Number.isNaN(at(state, place))) state[place] = calm;
  else {
    const firstDay = at(state, base + HOURS_SEEN) <= 24;
    approach(state, place, calm, firstDay ? FIRST_DAY_RATE : HOUR_RATE);
  }
}

/** The surprise in terms of the series' own block maxima: 8 is what a block usually reaches. */
function calibrate(state: Float32Array, base: number, surprise: number, warm: boolean): number {
  const blocks = at(state, base + BLOCKS);
  const weight = blocks + PRIOR_BLOCKS;
  const maximum =
    (at(state, base + USUAL_MAXIMUM) * blocks + PRIOR_MAXIMUM * PRIOR_BLOCKS) / weight;
  const spread = (at(state, base + USUAL_SPREAD) * blocks + PRIOR_SPREAD * PRIOR_BLOCKS) / weight;
  state[base + BLOCK_MAXIMUM] = Math.max(at(state, base + BLOCK_MAXIMUM), surprise);
  const points = at(state, base + BLOCK_POINTS) + 1;
  if (points >= BLOCK_LENGTH && warm) {
    const reached = Math.min(at(state, base + BLOCK_MAXIMUM), maximum + 6 * spread);
    const seen = Math.min(blocks + 1, BLOCK_MEMORY);
    const before = at(state, base + USUAL_MAXIMUM);
    state[base + BLOCKS] = seen;
    approach(
      state,
      base + USUAL_SPREAD,
      Math.abs(reached - (blocks > 0 ? before : maximum)),
      1 / seen,
    );
    approach(state, base + USUAL_MAXIMUM, reached, 1 / seen);
    state[base + BLOCK_MAXIMUM] = 0;
    state[base + BLOCK_POINTS] = 0;
  } else state[base + BLOCK_POINTS] = points;
  return Math.max(0, 8 + (2 * (surprise - maximum)) / Math.max(spread, 0.1));
}

/** Zero, unless this is the most unusual value of the refractory period. */
function holdBack(state: Float32Array, base: number, calibrated: number): number {
  const left = at(state, base + REFRACTORY);
  if (left > 0) state[base + REFRACTORY] = left - 1;
  else state[base + REPORTED] = 0;
  if (calibrated <= at(state, base + REPORTED) || calibrated <= REPORTABLE) return 0;
  state[base + REPORTED] = calibrated;
  state[base + REFRACTORY] = REFRACTORY_POINTS;
  return calibrated;
}

function toScore(calibrated: number): number {
  return calibrated / (calibrated + 20);
}

function approach(state: Float32Array, place: number, target: number, share: number): void {
  const present = at(state, place);
  state[place] = present + share * (target - present);
}

function rate(span: number, count: number): number {
  return Math.max(1 / (count + 1), 2 / (span + 1));
}

function clamp(value: number, reach: number): number {
  return Math.max(-reach, Math.min(reach, value));
}

function at(state: Float32Array, place: number): number {
  return state[place] as number;
}
