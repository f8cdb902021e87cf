import { at, bitsOf, Part, Place, readPart, writePart } from "./series-state.ts";

/**
 * What lies between what a series does: a value between a compressor's two levels, a step larger than
 * the noise and smaller than the jump of a sawtooth. Neither is far out, so that no scale finds them. Kept
 * is only which parts of the range were ever seen, a bit for each: what was seen once is no news again,
 * so that a series can be told of by this at most once for each of its gaps.
 */

/** Points after which the range is divided, and before which nothing is told. */
const DIVIDED_AT = 300;
const TOLD_FROM = 1_200;
/** Width of a part, as a share of the deviation at that time. */
const PART = 0.12;
const VALUE_PARTS = 36;
/** Steps by their logarithm: so many parts for twice the size, and of them below the usual step. */
const PARTS_AN_OCTAVE = 2.5;
const STEP_PARTS = 24;
const PARTS_BELOW = 8;
/** Half octaves that eight bits hold around zero. */
const MIDDLE = 128;
const HALF_OCTAVES = Float64Array.from({ length: 256 }, (_, index) => 2 ** ((index - MIDDLE) / 2));

/** Whether this value or the step to it lies in a gap; learns from it at the same time. */
export function fallsInGap(
  state: Float32Array,
  base: number,
  x: number,
  step: number,
  count: number,
): boolean {
  const divided = base + Place.divided;
  if (at(state, divided) === 0) {
    if (count === 0 || count % DIVIDED_AT !== 0) return false;
    if (!divide(state, base)) return false;
  }
  const isTold = count >= TOLD_FROM;
  const isOddStep = step !== 0 && isNewStep(state, base, Math.abs(step));
  const width = HALF_OCTAVES[readPart(state, divided, Part.width)] as number;
  const offset = readPart(state, divided, Part.offset) - MIDDLE;
  const part = clampPart(Math.floor(x / width) - offset + VALUE_PARTS / 2, VALUE_PARTS);
  return (isNewValue(state, base + Place.seenValues, part) || isOddStep) && isTold;
}

/** Fixes the parts; false while there is nothing to go by. */
function divide(state: Float32Array, base: number): boolean {
  const width = halfOctave(PART * Math.sqrt(at(state, base + Place.variance)));
  const usualStep = halfOctave(at(state, base + Place.usualVolatility));
  const offset = Math.round(at(state, base + Place.level) / (HALF_OCTAVES[width] as number));
  // Of 0 it is not known whether it is one.
  if (width === 0 || usualStep === 0 || Math.abs(offset) >= MIDDLE) return false;
  const divided = base + Place.divided;
  writePart(state, divided, Part.width, width);
  writePart(state, divided, Part.usualStep, usualStep);
  writePart(state, divided, Part.offset, offset + MIDDLE);
  return true;
}

/** 0 for what is no size. */
function halfOctave(size: number): number {
  return size > 0 ? clampPart(Math.round(2 * Math.log2(size)) + MIDDLE, 2 * MIDDLE) : 0;
}

function isNewStep(state: Float32Array, base: number, size: number): boolean {
  const usual = (readPart(state, base + Place.divided, Part.usualStep) - MIDDLE) / 2;
  const octaves = Math.log2(size) - usual;
  const part = clampPart(Math.floor(PARTS_AN_OCTAVE * octaves) + PARTS_BELOW, STEP_PARTS);
  const place = base + Place.seenSteps;
  const seen = bitsOf(state, place);
  state[place] = seen | (1 << part);
  const isFree = ((seen << 1) & (7 << part)) === 0;
  return isFree && (seen & ((1 << part) - 1)) !== 0 && seen >>> part !== 0;
}

/** The same over two floats. */
function isNewValue(state: Float32Array, place: number, part: number): boolean {
  const half = VALUE_PARTS / 2;
  const low = bitsOf(state, place);
  const high = bitsOf(state, place + 1);
  const wasSeen = (index: number) =>
    index < 0 || index >= VALUE_PARTS
      ? 0
      : (index < half ? low >>> index : high >>> (index - half)) & 1;
  if (part < half) state[place] = low | (1 << part);
  else state[place + 1] = high | (1 << (part - half));
  if (wasSeen(part - 1) + wasSeen(part) + wasSeen(part + 1) > 0) return false;
  const below = part < half ? low & ((1 << part) - 1) : low | (high & ((1 << (part - half)) - 1));
  const above = part < half ? (low >>> part) | high : high >>> (part - half);
  return below !== 0 && above !== 0;
}

function clampPart(part: number, parts: number): number {
  return part < 0 ? 0 : part >= parts ? parts - 1 : part;
}
