import {
  addressAt,
  BRANCH,
  beginField,
  GUESSES,
  guess,
  length,
  lookUp,
  PAGE,
  setLength,
  word,
} from "./field";
import { sourceByte, sourceSize, sourceWord, targetByte } from "./images";
import { setExact } from "./learned";
import { addressOfSource, addressOfTarget } from "./spaces";

// Xtensa: CALL0 to CALL12 and L32R, instructions of three bytes at any place. Instructions are
// followed from the region's beginning, two or three bytes at a time, and fall into step by themselves.

let next: i32 = 0;

export function enterXtensa(source: i32): void {
  next = source;
}

export function beginXtensa(source: i32, target: i32, within: i32): bool {
  if (next !== source) return false;
  const first = sourceByte(source) & 15;
  next = source + lengthOf(first);
  if (first !== 5 && first !== 1) return false;
  if (within >= 0 && length === 3) return false;
  if (source + 4 > sourceSize) return false;
  const old = sourceWord(source);
  const isCall = first === 5;
  beginField(target, isCall ? BRANCH : PAGE, old);
  setLength(3);
  const found = lookUp(goalOf(old, source));
  const here = addressOfTarget(target);
  const base = isCall ? callBase(here) : literalBase(here);
  for (let which = 1; which < GUESSES; which++) {
    if ((found & (1 << which)) === 0) continue;
    const words = (addressAt(which) - base) >> 2;
    const low = isCall
      ? (old & 0x3f) | ((words & 0x3ffff) << 6)
      : (old & 0xff) | ((words & 0xffff) << 8);
    guess(which, (old & 0xff000000) | low);
  }
  return true;
}

export function mayXtensaBeginWithin(source: i32): bool {
  while (next < source + 4) {
    if (next <= source) return true;
    const first = (word >>> (8 * (next - source))) & 15;
    if (first === 5 || first === 1) return true;
    next += lengthOf(first);
  }
  return false;
}

export function learnXtensa(source: i32, target: i32): void {
  const now = targetByte(target) | (targetByte(target + 1) << 8) | (targetByte(target + 2) << 16);
  if ((now & 15) !== (word & 15)) return;
  setExact(goalOf(word, source), goalFrom(now, addressOfTarget(target)));
}

function goalOf(value: i32, source: i32): i32 {
  return goalFrom(value, addressOfSource(source));
}

// Xtensa Instruction Set Architecture, CALL0 and L32R.

function goalFrom(value: i32, here: i32): i32 {
  return (value & 15) === 5
    ? callBase(here) + callOffset(value)
    : literalBase(here) + literalOffset(value);
}

function lengthOf(first: i32): i32 {
  return first >= 8 && first < 14 ? 2 : 3;
}

function callBase(address: i32): i32 {
  return (address & ~3) + 4;
}

function callOffset(value: i32): i32 {
  return ((value << 8) >> 14) << 2;
}

function literalBase(address: i32): i32 {
  return (address + 3) & ~3;
}

function literalOffset(value: i32): i32 {
  return (((value >>> 8) & 0xffff) - 0x10000) << 2;
}
