import { addressAt, BRANCH, beginField, GUESSES, guess, lookUp, word } from "./field";
import { sourceSize, sourceWord, targetWord } from "./images";
import { setExact } from "./learned";
import { addressOfSource, addressOfTarget } from "./spaces";

// 32-bit ARM: B and BL with an offset of 24 bits.

export function beginArm(source: i32, target: i32, within: i32): bool {
  if ((source & 3) !== 0 || within >= 0 || source + 4 > sourceSize) return false;
  const old = sourceWord(source);
  if (!isBranch(old)) return false;
  beginField(target, BRANCH, old);
  const found = lookUp(addressOfSource(source) + 8 + offsetOf(old));
  const here = addressOfTarget(target) + 8;
  for (let which = 1; which < GUESSES; which++) {
    if ((found & (1 << which)) === 0) continue;
    const words = (addressAt(which) - here) >> 2;
    guess(which, (old & 0xff000000) | (words & 0xffffff));
  }
  return true;
}

export function learnArm(source: i32, target: i32): void {
  const now = targetWord(target);
  if (!isBranch(now)) return;
  const from = addressOfSource(source) + 8 + offsetOf(word);
  setExact(from, addressOfTarget(target) + 8 + offsetOf(now));
}

/** Armv7-A ARM, A8.8.18 (B) and A8.8.25 (BL, BLX); condition 15 is BLX. */
function isBranch(value: i32): bool {
  return (value & 0x0e000000) === 0x0a000000;
}

function offsetOf(value: i32): i32 {
  return (value << 8) >> 6;
}
