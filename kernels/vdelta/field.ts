import { found, lookExact, lookNear } from "./learned";
import { translate, translated } from "./spaces";

/** What a field is, as far as the model's contexts tell fields apart. */
export const PLAIN: i32 = 0;
export const BRANCH: i32 = 1;
export const PAGE: i32 = 2;
export const OFFSET: i32 = 3;
export const SHORT_BRANCH: i32 = 4;
export const POINTER: i32 = 5;
export const RELATIVE: i32 = 6;

/** Who made the guess. */
export const EXACT: i32 = 1;
export const WORD: i32 = 2;
export const NEAR: i32 = 3;
export const MAPPED: i32 = 4;
export const FAR: i32 = 5;
export const GUESSES: i32 = 6;

// A few bytes that change together, with guesses at their new value (little endian).

const guesses = memory.data(GUESSES * 4, 16);
/** What `lookUp` found, at the number of the guess. */
const addresses = memory.data(GUESSES * 4, 16);
/** Bit g is set where guess g exists and agrees with the bytes so far. */
export let valid: i32 = 0;
/** Whether some guess differs from the old word. */
export let isContested: bool = false;
export let kind: i32 = PLAIN;
export let length: i32 = 4;
/** Its value in the old image; of three bytes, with the byte behind them. */
export let word: i32 = 0;
/** Where it began in the new image; -1 outside of a field. */
export let start: i32 = -1;

export function beginField(target: i32, fieldKind: i32, oldWord: i32): void {
  start = target;
  kind = fieldKind;
  length = 4;
  word = oldWord;
  valid = 0;
  isContested = false;
}

export function endField(): void {
  start = -1;
}

export function setKind(fieldKind: i32): void {
  kind = fieldKind;
}

export function setLength(bytes: i32): void {
  length = bytes;
}

export function setValid(guessBits: i32): void {
  valid = guessBits;
}

export function guess(which: i32, value: i32): void {
  store<i32>(guesses + ((<usize>which) << 2), value);
  valid |= 1 << which;
  if (value !== word) isContested = true;
}

export function guessAt(which: i32): i32 {
  return load<i32>(guesses + ((<usize>which) << 2));
}

export function addressAt(which: i32): i32 {
  return load<i32>(addresses + ((<usize>which) << 2));
}

/** Where an address may have gone: sets `addresses`, returns a bit for each of them. */
export function lookUp(address: i32): i32 {
  let bits = 0;
  if (lookExact(address)) {
    store<i32>(addresses, found, EXACT << 2);
    bits |= 1 << EXACT;
  }
  if (translate(address)) {
    store<i32>(addresses, translated, MAPPED << 2);
    bits |= 1 << MAPPED;
  }
  const near = lookNear(address);
  if (near !== 0) {
    const which = near === 2 ? NEAR : FAR;
    store<i32>(addresses + ((<usize>which) << 2), address + found);
    bits |= 1 << which;
  }
  return bits;
}
