import { choose, guessByte, guessWord, isInField, learnByte, passWord, pick } from "./guesser";
import { sourceWord, targetByte, targetZero } from "./images";

// The fast coder: how many guesses are right before each wrong one, and what stands there instead.

/** More than a block holds: no guess is wrong any more. */
const NEVER: i32 = 1 << 30;
const MAX_VARINT_BYTES: i32 = 5;

let gaps: usize = 0;
let gapsEnd: usize = 0;
let misses: usize = 0;
let missesEnd: usize = 0;
/** Right guesses before the next wrong one; an encoder counts up, a decoder down. */
let gap: i32 = 0;
/** The streams end early, or hold what no encoder writes. */
let isCorrupt: bool = false;

/** A block's streams, to be read. */
export function openBlock(gapsAt: usize, gapBytes: i32, missesAt: usize, missBytes: i32): void {
  gaps = gapsAt;
  gapsEnd = gapsAt + gapBytes;
  misses = missesAt;
  missesEnd = missesAt + missBytes;
  isCorrupt = false;
  gap = readGap();
}

/** Whether the streams were used up, and no more was asked of them. */
export function isBlockDone(blockBytes: i32): bool {
  return !isCorrupt && gap >= NEVER - blockBytes && gaps === gapsEnd && misses === missesEnd;
}

export function isBlockCorrupt(): bool {
  return isCorrupt;
}

function readGap(): i32 {
  if (gaps >= gapsEnd) return NEVER;
  let value: u32 = 0;
  for (let index = 0; index < MAX_VARINT_BYTES; index++) {
    if (gaps >= gapsEnd) break;
    const byte: u32 = load<u8>(gaps);
    gaps += 1;
    value |= (byte & 0x7f) << (7 * index);
    if (byte < 0x80) {
      if (value < <u32>NEVER) return value;
      break;
    }
  }
  isCorrupt = true;
  return NEVER;
}

function takeMiss(): i32 {
  if (misses >= missesEnd) {
    isCorrupt = true;
    gap = NEVER;
    return 0;
  }
  const miss: i32 = load<u8>(misses);
  misses += 1;
  gap = readGap();
  return miss;
}

/** Makes `length` bytes of a region. */
export function decodeRegion(source: i32, target: i32, length: i32): void {
  for (let index = 0; index < length; ) {
    const from = source + index;
    const to = target + index;
    if ((from & 3) === 0 && index + 4 <= length && !isInField()) {
      if (guessWord(from, to) && gap >= 4) {
        store<i32>(targetZero + to, sourceWord(from));
        gap -= 4;
        passWord(from);
        index += 4;
        continue;
      }
      choose(from, to);
    } else {
      guessByte(from, to);
    }
    let byte = pick;
    if (gap === 0) byte = (byte + takeMiss()) & 0xff;
    else gap -= 1;
    store<u8>(targetZero + to, byte);
    learnByte(from, to, byte);
    index += 1;
  }
}

/** A block's streams, to be written; they have room for a block. */
export function beginBlock(gapsAt: usize, missesAt: usize): void {
  gaps = gapsAt;
  misses = missesAt;
  gap = 0;
}

export function gapsUsed(): usize {
  return gaps;
}

export function missesUsed(): usize {
  return misses;
}

/** Takes `length` bytes of a region apart; returns how many guesses were wrong. */
export function encodeRegion(source: i32, target: i32, length: i32): i32 {
  let wrong = 0;
  for (let index = 0; index < length; ) {
    const from = source + index;
    const to = target + index;
    if ((from & 3) === 0 && index + 4 <= length && !isInField()) {
      if (guessWord(from, to) && load<i32>(targetZero + to) === sourceWord(from)) {
        gap += 4;
        passWord(from);
        index += 4;
        continue;
      }
      choose(from, to);
    } else {
      guessByte(from, to);
    }
    const byte = targetByte(to);
    if (byte === pick) gap += 1;
    else {
      wrong += 1;
      putMiss((byte - pick) & 0xff);
    }
    learnByte(from, to, byte);
    index += 1;
  }
  return wrong;
}

function putMiss(miss: i32): void {
  store<u8>(misses, miss);
  misses += 1;
  while (gap >= 0x80) {
    store<u8>(gaps, gap | 0x80);
    gaps += 1;
    gap >>>= 7;
  }
  store<u8>(gaps, gap);
  gaps += 1;
  gap = 0;
}
