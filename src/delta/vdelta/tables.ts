/**
 * The coder's number tables, made by integers alone: a bit must come out the same on every machine.
 * Probabilities have 16 bits (65536 = certain); the logistic domain has 128 steps to the unit.
 */

/** floor(2^32 * e^(-1/128)). */
const STEP = 4_261_543_595n;
const ONE = 1n << 32n;
const MAX_LOGIT = 2047;

/** `SQUASH[x + 2048]`: probability of the logit x, -2048 <= x <= 2047; 1 to 65535. */
export const SQUASH = makeSquash();

/** Down here and up there a step of the coarse table would be too wide. */
const FINE = 2048;
const STRETCH_CLIP = 1500;
const STRETCH_COARSE = makeStretch(4096, 16);
const STRETCH_FINE = makeStretch(FINE, 1);

/** `RECIPROCAL[n]`: 32768 / (n + 1.6), the share by which the n-th observation moves a counter. */
export const RECIPROCAL = Int32Array.from({ length: 1024 }, (_, n) =>
  Math.floor((32768 * 10) / (10 * n + 16)),
);

function makeSquash(): Int32Array {
  const table = new Int32Array(4096);
  let power = ONE;
  for (let logit = 0; logit <= MAX_LOGIT; logit++) {
    const probability = clamp(Number((ONE << 16n) / (ONE + power)), 1, 65535);
    table[2048 + logit] = probability;
    table[2048 - logit] = 65536 - probability;
    power = (power * STEP) >> 32n;
  }
  table[0] = table[1] as number;
  return table;
}

/** The inverse: the smallest logit whose probability is at least `index * step`. */
function makeStretch(length: number, step: number): Int16Array {
  const table = new Int16Array(length);
  let logit = -STRETCH_CLIP;
  for (let index = 0; index < length; index++) {
    while (logit < STRETCH_CLIP && (SQUASH[logit + 2048] as number) < index * step) logit += 1;
    table[index] = logit;
  }
  return table;
}

function clamp(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}

/** Probability of a logit that may lie outside the table. */
export function squash(logit: number): number {
  return SQUASH[logit > MAX_LOGIT ? 4095 : logit < -MAX_LOGIT ? 1 : (logit + 2048) | 0] as number;
}

/** Logit of a probability of 0 to 65535. */
export function stretch(probability: number): number {
  if (probability < FINE) return STRETCH_FINE[probability] as number;
  if (probability > 65536 - FINE) return -(STRETCH_FINE[65536 - probability] as number);
  return STRETCH_COARSE[probability >> 4] as number;
}
