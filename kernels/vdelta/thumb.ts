import { addressAt, BRANCH, beginField, GUESSES, guess, kind, lookUp, word } from "./field";
import { sourceSize, sourceWord, targetWord } from "./images";
import { setExact } from "./learned";
import { addressOfSource, addressOfTarget } from "./spaces";

// Thumb and Thumb-2: BL, BLX and the wide B, each two halfwords with an offset of 25 bits.

export function beginThumb(source: i32, target: i32, within: i32): bool {
  if ((source & 1) !== 0 || source + 4 > sourceSize) return false;
  // A branch may begin in the middle of a word of data, but not of another branch.
  if (within >= 0 && (within !== 2 || kind === BRANCH)) return false;
  const old = sourceWord(source);
  if (!isWideBranch(old)) return false;
  beginField(target, BRANCH, old);
  const found = lookUp(addressOfSource(source) + 4 + offsetOf(old));
  const here = addressOfTarget(target) + 4;
  for (let which = 1; which < GUESSES; which++) {
    if ((found & (1 << which)) !== 0) guess(which, withOffset(old, addressAt(which) - here));
  }
  return true;
}

/** Whether a branch may begin in the middle of the word. */
export function mayThumbBeginWithin(): bool {
  return kind !== BRANCH && ((word >>> 16) & 0xf800) === 0xf000;
}

export function learnThumb(source: i32, target: i32): void {
  const now = targetWord(target);
  if (!isWideBranch(now)) return;
  const from = addressOfSource(source) + 4 + offsetOf(word);
  setExact(from, addressOfTarget(target) + 4 + offsetOf(now));
}

/** Armv7-M ARM, A7.7.12 (B, T4) and A7.7.18 (BL); A2.5 of Armv7-A for BLX. */
function isWideBranch(value: i32): bool {
  if ((value & 0xf800) !== 0xf000) return false;
  const second = (value >>> 16) & 0xd000;
  return second === 0xd000 || second === 0xc000 || second === 0x9000;
}

function offsetOf(value: i32): i32 {
  const second = value >>> 16;
  const sign = (value >> 10) & 1;
  const i1 = ((second >> 13) & 1) ^ sign ^ 1;
  const i2 = ((second >> 11) & 1) ^ sign ^ 1;
  const offset = (i1 << 23) | (i2 << 22) | ((value & 0x3ff) << 12) | ((second & 0x7ff) << 1);
  return sign ? offset - (1 << 24) : offset;
}

function withOffset(value: i32, offset: i32): i32 {
  const sign = offset < 0 ? 1 : 0;
  const j1 = ((offset >> 23) & 1) ^ 1 ^ sign;
  const j2 = ((offset >> 22) & 1) ^ 1 ^ sign;
  const first = (value & 0xf800) | (sign << 10) | ((offset >> 12) & 0x3ff);
  const second = ((value >>> 16) & 0xd000) | (j1 << 13) | (j2 << 11) | ((offset >> 1) & 0x7ff);
  return first | (second << 16);
}
