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
/** Down here and up there a step of the coarse table would be too wide. */
const FINE: i32 = 2048;
const STRETCH_CLIP: i32 = 1500;
const STRETCH_COARSE = memory.data(4096 * 2, 16);
const STRETCH_FINE = memory.data(FINE * 2, 16);
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
  makeStretch(STRETCH_COARSE, 4096, 16);
  makeStretch(STRETCH_FINE, FINE, 1);
  for (let n = 0; n < RECIPROCALS; n++) {
    store<u16>(RECIPROCAL + ((<usize>n) << 1), 327680 / (10 * n + 16));
  }
}

/** The inverse: the smallest logit whose probability is at least `index * step`. */
function makeStretch(table: usize, length: i32, step: i32): void {
  let logit = -STRETCH_CLIP;
  for (let index = 0; index < length; index++) {
    while (logit < STRETCH_CLIP && squash(logit) < index * step) logit += 1;
    store<i16>(table + ((<usize>index) << 1), logit);
  }
}

/** Probability of a logit of -2048 to 2047. */
export function squash(logit: i32): i32 {
  return load<u16>(SQUASH + ((<usize>(logit + 2048)) << 1));
}

/** Logit of a probability of 0 to 65535. */
export function stretch(probability: i32): i32 {
  if (probability < FINE) return load<i16>(STRETCH_FINE + ((<usize>probability) << 1));
  if (probability > 65536 - FINE) {
    return -(<i32>load<i16>(STRETCH_FINE + ((<usize>(65536 - probability)) << 1)));
  }
  return load<i16>(STRETCH_COARSE + ((<usize>(probability >> 4)) << 1));
}

/** 32768 / (n + 1.6), the share by which the n-th observation moves a counter. */
export function reciprocal(n: i32): i32 {
  return load<u16>(RECIPROCAL + ((<usize>n) << 1));
}
