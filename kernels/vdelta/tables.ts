/**
 * The coder's number tables, made by integers alone. Probabilities have 16 bits (65536 = certain); the
 * logistic domain has 128 steps to the unit.
 */

/** floor(2^32 * e^(-1/128)). */
const STEP: u64 = 4261543595;
const ONE: u64 = 1 << 32;
const MAX_LOGIT: i32 = 2047;

/** 16 bits each: probability of the logit x at x + 2048, -2048 <= x <= 2047; 1 to 65535. */
const SQUASH = memory.data(4096 * 2, 16);
/** Down here and up there a step of 16 would be too wide. */
const FINE: i32 = 2048;
const STRETCH_CLIP: i32 = 1500;
/** 16 bits each: logits of 0 to 2047, of every 16th probability to 63488, and of 63489 to 65535. */
const STRETCH = memory.data((2 * FINE + 3840 + 1) * 2, 16);
const COARSE_AT: i32 = FINE - (FINE >> 4);
const UPPER_AT: i32 = FINE + 3840 + 1 - (65536 - FINE + 1);
const RECIPROCALS: i32 = 1024;
const RECIPROCAL = memory.data(RECIPROCALS * 2, 16);

export function makeTables(): void {
  let power: u64 = ONE;
  for (let logit = 0; logit <= MAX_LOGIT; logit++) {
    const exact = (ONE << 16) / (ONE + power);
    const probability: i32 = exact > 65535 ? 65535 : <i32>exact;
    store<u16>(SQUASH + ((<usize>(2048 + logit)) << 1), probability);
    store<u16>(SQUASH + ((<usize>(2048 - logit)) << 1), 65536 - probability);
    power = (power * STEP) >> 32;
  }
  store<u16>(SQUASH, load<u16>(SQUASH, 2));
  let logit = -STRETCH_CLIP;
  for (let index = 0; index < FINE; index++) {
    logit = nextLogit(logit, index);
    storeLogit(index, logit);
    // Nearly certain is nearly impossible the other way around.
    if (index > 0) storeLogit(UPPER_AT + 65536 - index, -logit);
  }
  logit = -STRETCH_CLIP;
  for (let index = FINE >> 4; index <= (65536 - FINE) >> 4; index++) {
    logit = nextLogit(logit, index << 4);
    storeLogit(COARSE_AT + index, logit);
  }
  for (let n = 0; n < RECIPROCALS; n++) {
    store<u16>(RECIPROCAL + ((<usize>n) << 1), 327680 / (10 * n + 16));
  }
}

/** The smallest logit from here on whose probability is at least so much. */
function nextLogit(logit: i32, probability: i32): i32 {
  while (logit < STRETCH_CLIP && squash(logit) < probability) logit += 1;
  return logit;
}

function storeLogit(index: i32, logit: i32): void {
  store<i16>(STRETCH + ((<usize>index) << 1), logit);
}

/** Probability of a logit of -2048 to 2047. */
export function squash(logit: i32): i32 {
  return load<u16>(SQUASH + ((<usize>(logit + 2048)) << 1));
}

/** Logit of a probability of 0 to 65535. */
export function stretch(probability: i32): i32 {
  const middle = COARSE_AT + (probability >> 4);
  const upper = select<i32>(UPPER_AT + probability, middle, probability > 65536 - FINE);
  const index = select<i32>(probability, upper, probability < FINE);
  return load<i16>(STRETCH + ((<usize>index) << 1));
}

/** 32768 / (n + 1.6), the share by which the n-th observation moves a counter. */
export function reciprocal(n: i32): i32 {
  return load<u16>(RECIPROCAL + ((<usize>n) << 1));
}

/** Four times `stretch`. */
export function stretchFour(probabilities: v128): v128 {
  const middle = i32x4.add(i32x4.shr_u(probabilities, 4), i32x4.splat(COARSE_AT));
  const upper = i32x4.add(probabilities, i32x4.splat(UPPER_AT));
  const isUpper = i32x4.gt_s(probabilities, i32x4.splat(65536 - FINE));
  const isLower = i32x4.lt_s(probabilities, i32x4.splat(FINE));
  let index = v128.bitselect(upper, middle, isUpper);
  index = v128.bitselect(probabilities, index, isLower);
  const logits = gatherHalves(STRETCH, index);
  return i32x4.shr_s(i32x4.shl(logits, 16), 16);
}

/** Four times `reciprocal`. */
export function reciprocalFour(counts: v128): v128 {
  return gatherHalves(RECIPROCAL, counts);
}

/** 16 bits each, of a table at four places. */
function gatherHalves(table: usize, index: v128): v128 {
  const at = i32x4.add(i32x4.shl(index, 1), i32x4.splat(<i32>table));
  let halves = i32x4.splat(0);
  halves = v128.load16_lane(<usize>i32x4.extract_lane(at, 0), halves, 0);
  halves = v128.load16_lane(<usize>i32x4.extract_lane(at, 1), halves, 2);
  halves = v128.load16_lane(<usize>i32x4.extract_lane(at, 2), halves, 4);
  return v128.load16_lane(<usize>i32x4.extract_lane(at, 3), halves, 6);
}
