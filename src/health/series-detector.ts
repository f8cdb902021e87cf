import { elapsed, judgedValue } from "./counter-rate.ts";
import { fallsInGap } from "./gaps.ts";
import {
  approach,
  at,
  begin,
  MAX_COUNT,
  MAX_RUN,
  Mode,
  modeOf,
  originOf,
  Part,
  Place,
  readPart,
  SCORE_STEPS,
  STATE_BYTES,
  STATE_LENGTH,
  WARM_UP,
  writePart,
} from "./series-state.ts";
import { expectedAt, knowsDay, learnHour } from "./usual-hours.ts";

/**
 * Scores one series of measurements as they come, without looking ahead. Each of several features is
 * measured against its own past, by the fourth root of the mean fourth power, so that what is large now
 * and then, as at each turn of a sawtooth, does not drown what is rare. The most surprising one counts,
 * calibrated by the highest surprises that this series has shown before, so that a score means the same
 * on every series.
 */
export { STATE_BYTES, STATE_LENGTH };

/** Points for which the short, middle and long average remember. */
const AVERAGE_SPANS = [4, 16, 64] as const;
const LEVEL_SPAN = 2_000;
const SCALE_SPAN = 4_000;
const RESIDUAL_SPAN = 12;
const VOLATILITY_SPAN = 16;
const CREEP_SPAN = 144;

/** What lies further out than this many deviations teaches the averages no more than this. */
const WINSOR = 8;
/**
 * What creeps is hardly larger from one point to the next and would teach its own scale to keep up, so
 * that it teaches no more than this. It weighs less than what comes at once and is never more than
 * odd: it follows each shift by hours, and must not be told as a record after it.
 */
const CREEP_WINSOR = 3;
const CREEP_WEIGHT = 0.6;
const MAX_CREEP = 14;
/** What has been told at this score or above explains what creeps after it. */
const CREEP_EXPLAINED = 0.5;
/** The smallest scale, as a share of the series' deviation: a feature that stood still stays calm. */
const SCALE_FLOOR = 0.02;
const MAX_SURPRISE = 50;
/** Beyond it the squares of a 32-bit float would run over, and nothing would be told apart again. */
const MAX_VALUE = 1e18;
/** Times the longest stand so far, and a few points more, from which on a value that stands is odd. */
const STUCK_POINTS = 4;
/** So many times is odd by itself, of what has moved for so many points and never stood for longer. */
const LONG_STAND = 7;
const MOVED_POINTS = 1_200;
const SHORT_STAND = 100;
const MAX_STUCK = 12;
/** Beyond so many times, it is what this series does now. */
const USED_TO_STUCK = 40;
/** What is kept of the longest stand at each end of one. */
const STAND_KEPT = 1 - 1 / 20_000;

const BLOCK_LENGTH = 200;
const BLOCK_MEMORY = 30;
/** What block maxima look like before any was seen, and how many blocks that belief is worth. */
const PRIOR_MAXIMUM = 3;
const PRIOR_SPREAD = 0.7;
const PRIOR_BLOCKS = 3;
/** The first blocks show what a series does; later ones may hold a fault, and teach only so much. */
const OPEN_BLOCKS = 3;

/** Points after a report in which only something more surprising is reported. */
export const REFRACTORY_POINTS = 200;
/** Scores up to here are not. */
const REPORTABLE = 0.125;
/** How odd, calibrated, what falls into a gap or stands for long is: an alert, and no more than that. */
const ODD = 24;
export const ODD_SCORE = toScore(ODD);

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
  const count = at(state, base + Place.count);
  const value = clamp(given, MAX_VALUE);
  // Before the series is known it cannot be told for a slip, and would stand for its scale.
  if (value !== given && count < WARM_UP) return 0;
  if (count === 0 && modeOf(state, base) === 0) begin(state, base, value);
  const before = at(state, base + Place.seconds);
  const x = judgedValue(state, base, timestampMs, value);
  if (x === undefined) {
    writePart(state, base + Place.scored, Part.present, 0);
    return 0;
  }
  const isCounter = modeOf(state, base) === Mode.counter;
  const origin = isCounter ? 0 : originOf(state, base);
  const step = x - at(state, base + Place.previous);
  const stand = standing(state, base, x, count);
  const distance = Math.max(stand, surpriseOf(state, base, timestampMs, x, origin));
  const surprise = Math.min(MAX_SURPRISE, distance);
  // Neither is a distance, and whatever else a series does says nothing of them.
  const isOdd =
    isLongStand(state, base, stand, count) ||
    (!isCounter && fallsInGap(state, base, x, step, count));
  if (isCounter) {
    // What was expected of a total is told as a total, which stands at its newest value now.
    const passed = elapsed(before, at(state, base + Place.seconds));
    state[base + Place.expected] = (at(state, base + Place.expected) - x) * passed;
  }
  const counted = at(state, base + Place.count) + 1;
  state[base + Place.count] = counted < MAX_COUNT ? counted : MAX_COUNT / 2;
  const usual = calibrate(state, base, surprise, count >= WARM_UP);
  const calibrated = isOdd ? Math.max(ODD, usual) : usual;
  return holdBack(state, base, toScore(calibrated));
}

/** Score of the newest value before the refractory period is applied: whether things are calm again. */
export function presentScore(state: Float32Array, base: number): number {
  return readPart(state, base + Place.scored, Part.present) / SCORE_STEPS;
}

/** What the newest value was expected to be: at this hour of the day, or at all. */
export function expectedValue(state: Float32Array, base: number): number {
  return originOf(state, base) + at(state, base + Place.expected);
}

/** The most surprising feature of this value, in deviations; learns from it at the same time. */
function surpriseOf(
  state: Float32Array,
  base: number,
  timestampMs: number,
  x: number,
  origin: number,
): number {
  const count = at(state, base + Place.count);
  const level = at(state, base + Place.level);
  const deviation = Math.sqrt(at(state, base + Place.variance));
  const reach = WINSOR * deviation;
  const calm = count >= WARM_UP ? level + clamp(x - level, reach) : x;
  const floor = SCALE_FLOOR * deviation + 1e-9 * Math.abs(level + origin) + 1e-12;
  const feature = (index: number, distance: number) =>
    measure(state, base + Place.scales + index, distance, count, floor);

  let worst = 0;
  let finer = x;
  let input = calm;
  for (let index = 0; index < AVERAGE_SPANS.length; index += 1) {
    const place = base + Place.averages + index;
    worst = Math.max(worst, feature(Feature.short + index, finer - at(state, place)));
    approach(state, place, input, rate(AVERAGE_SPANS[index] as number, count));
    finer = input = at(state, place);
  }

  worst = Math.max(worst, feature(Feature.level, x - level));
  const levelRate = Math.max(1 / (count + 1), 1 / LEVEL_SPAN);
  const away = calm - level;
  state[base + Place.level] = level + levelRate * away;
  state[base + Place.variance] =
    (1 - levelRate) * (at(state, base + Place.variance) + levelRate * away * away);

  const expected = expectedAt(state, base, timestampMs, level);
  state[base + Place.expected] = expected;
  const residual = x - expected;
  worst = Math.max(worst, feature(Feature.hourly, residual));
  approach(state, base + Place.residual, clamp(residual, reach), 2 / (RESIDUAL_SPAN + 1));
  worst = Math.max(worst, feature(Feature.residual, at(state, base + Place.residual)));
  worst = Math.max(worst, creeping(state, base, clamp(residual, reach), count, floor));
  learnHour(state, base, timestampMs, calm);

  const step = x - at(state, base + Place.previous);
  state[base + Place.previous] = x;
  worst = Math.max(worst, feature(Feature.step, step));
  const usualStep = WINSOR * at(state, base + Place.scales + Feature.step);
  approach(
    state,
    base + Place.volatility,
    Math.min(Math.abs(step), usualStep),
    2 / (VOLATILITY_SPAN + 1),
  );
  const volatility = at(state, base + Place.volatility);
  worst = Math.max(
    worst,
    feature(Feature.volatility, volatility - at(state, base + Place.usualVolatility)),
  );
  approach(
    state,
    base + Place.usualVolatility,
    volatility,
    Math.max(1 / (count + 1), 1 / SCALE_SPAN),
  );
  return worst;
}

/** How surprising it is where the residual has been on average of late. */
function creeping(
  state: Float32Array,
  base: number,
  residual: number,
  count: number,
  floor: number,
): number {
  const isCounter = modeOf(state, base) === Mode.counter;
  const place = base + (isCounter ? Place.longestRun : Place.seconds);
  approach(state, place, residual, 2 / (CREEP_SPAN + 1));
  const scale = base + Place.creepScale;
  const found = CREEP_WEIGHT * measure(state, scale, at(state, place), count, floor, CREEP_WINSOR);
  const reported = readPart(state, base + Place.scored, Part.reported) / SCORE_STEPS;
  return reported < CREEP_EXPLAINED ? Math.min(found, MAX_CREEP) : 0;
}

/** How surprising it is that the value stands where it stood, by how long it has done so before. */
function standing(state: Float32Array, base: number, x: number, count: number): number {
  // A total that does not grow is as usual as its rate.
  if (modeOf(state, base) === Mode.counter) return 0;
  const longest = at(state, base + Place.longestRun);
  const kind = base + Place.kind;
  const run = readPart(state, kind, Part.run);
  if (count === 0 || Math.fround(x) !== at(state, base + Place.previous)) {
    state[base + Place.longestRun] = Math.max(run, longest * STAND_KEPT);
    writePart(state, kind, Part.run, 0);
    return 0;
  }
  const now = Math.min(run + 1, MAX_RUN);
  writePart(state, kind, Part.run, now);
  if (count < WARM_UP || !knowsDay(state, base)) {
    state[base + Place.longestRun] = Math.max(now, longest);
    return 0;
  }
  const times = now / (longest + STUCK_POINTS);
  return times < USED_TO_STUCK ? Math.min(times, MAX_STUCK) : 0;
}

/** Whether what never stood for long does so now: no other feature's past excuses it. */
function isLongStand(state: Float32Array, base: number, stand: number, count: number): boolean {
  if (stand < LONG_STAND || stand >= MAX_STUCK) return false;
  const moved = count - readPart(state, base + Place.kind, Part.run);
  return moved >= MOVED_POINTS && at(state, base + Place.longestRun) <= SHORT_STAND;
}

/** How far out `distance` lies among its own past; the past then takes it in, winsorised at `reach`. */
function measure(
  state: Float32Array,
  place: number,
  distance: number,
  count: number,
  floor: number,
  reach = WINSOR,
): number {
  const before = at(state, place);
  const scale = Math.max(before, floor);
  const warm = count >= WARM_UP;
  const known = warm ? clamp(distance, reach * scale) : distance;
  const learning = Math.max(1 / (count + 1), 1 / SCALE_SPAN);
  // The root is kept: a float has no room for the fourth power of what is counted in bytes.
  const power = fourthPower(before);
  state[place] = fourthRoot(power + learning * (fourthPower(known) - power));
  return warm ? Math.abs(distance) / scale : 0;
}

/** The surprise in terms of the series' own block maxima: 8 is what a block usually reaches. */
function calibrate(state: Float32Array, base: number, surprise: number, warm: boolean): number {
  const blocks = readPart(state, base + Place.counts, Part.blocks);
  const weight = blocks + PRIOR_BLOCKS;
  const maximum =
    (at(state, base + Place.usualMaximum) * blocks + PRIOR_MAXIMUM * PRIOR_BLOCKS) / weight;
  const spread =
    (at(state, base + Place.usualSpread) * blocks + PRIOR_SPREAD * PRIOR_BLOCKS) / weight;
  state[base + Place.blockMaximum] = Math.max(at(state, base + Place.blockMaximum), surprise);
  if (at(state, base + Place.count) % BLOCK_LENGTH === 0 && warm) {
    const most = blocks < OPEN_BLOCKS ? MAX_SURPRISE : maximum + 6 * spread;
    const reached = Math.min(at(state, base + Place.blockMaximum), most);
    const seen = Math.min(blocks + 1, BLOCK_MEMORY);
    const before = at(state, base + Place.usualMaximum);
    writePart(state, base + Place.counts, Part.blocks, seen);
    approach(
      state,
      base + Place.usualSpread,
      Math.abs(reached - (blocks > 0 ? before : maximum)),
      1 / seen,
    );
    approach(state, base + Place.usualMaximum, reached, 1 / seen);
    state[base + Place.blockMaximum] = 0;
  }
  return !warm ? 0 : Math.max(0, 8 + (2 * (surprise - maximum)) / Math.max(spread, 0.1));
}

/** Zero, unless this is the most unusual value of the refractory period. */
function holdBack(state: Float32Array, base: number, score: number): number {
  const scored = base + Place.scored;
  const counts = base + Place.counts;
  const present = Math.round(score * SCORE_STEPS);
  writePart(state, scored, Part.present, present);
  const left = readPart(state, counts, Part.refractory);
  if (left > 0) writePart(state, counts, Part.refractory, left - 1);
  else writePart(state, scored, Part.reported, 0);
  if (present <= readPart(state, scored, Part.reported) || score <= REPORTABLE) return 0;
  writePart(state, scored, Part.reported, present);
  writePart(state, counts, Part.refractory, REFRACTORY_POINTS);
  return score;
}

function toScore(calibrated: number): number {
  return calibrated / (calibrated + 14);
}

function fourthPower(value: number): number {
  const square = value * value;
  return square * square;
}

function fourthRoot(value: number): number {
  return Math.sqrt(Math.sqrt(value));
}

function rate(span: number, count: number): number {
  return Math.max(1 / (count + 1), 2 / (span + 1));
}

function clamp(value: number, reach: number): number {
  return Math.max(-reach, Math.min(reach, value));
}
