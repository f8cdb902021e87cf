import {
  choose,
  closeWord,
  enterRegion,
  guessByte,
  guessWord,
  isDisputed,
  isInField,
  learnByte,
  passWord,
  pick,
  settleWord,
} from "./guesser";
import { isSourceThere, sourceWord, targetByte, targetZero } from "./images";

// The fast coder: how many guesses are right before each wrong one, and what stands there instead.

/** More than a block holds: no guess is wrong any more. */
const NEVER: i32 = 1 << 30;
const MAX_VARINT_BYTES: i32 = 5;

let gaps: usize = 0;
let gapsEnd: usize = 0;
let misses: usize = 0;
let missesEnd: usize = 0;
let literals: usize = 0;
let literalsEnd: usize = 0;
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

export function openLiterals(at: usize, bytes: i32): void {
  literals = at;
  literalsEnd = at + bytes;
}

/** Whether the streams were used up, and no more was asked of them. */
export function isBlockDone(blockBytes: i32): bool {
  if (isCorrupt || literals !== literalsEnd) return false;
  return gap >= NEVER - blockBytes && gaps === gapsEnd && misses === missesEnd;
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

// Where the decoder is: in which step, how far in it, and where the step begins in both images.
let step: usize = 0;
let stepDone: i32 = 0;
let stepSource: i32 = 0;
let stepTarget: i32 = 0;

/** A step: bytes copied, literals, seek. The list has been checked, and makes all of the image. */
const STEP_BYTES: usize = 12;

export function openSteps(at: usize): void {
  step = at;
  stepDone = 0;
  stepSource = 0;
  stepTarget = 0;
}

/** Which part of the old image is wanted next: from where, and where its region ends. */
export let wantedFrom: i32 = 0;
export let wantedEnd: i32 = 0;

/**
 * Goes on up to `limit` in the new image and returns how far it came: less where a part of the old one is
 * wanted, or where the streams are corrupt.
 */
export function decodeSteps(limit: i32): i32 {
  let target = stepTarget + stepDone;
  while (target < limit) {
    const copied = load<i32>(step);
    const total = copied + load<i32>(step, 4);
    if (stepDone === total) {
      stepSource += copied + load<i32>(step, 8);
      stepTarget += total;
      stepDone = 0;
      step += STEP_BYTES;
    } else if (stepDone < copied) {
      const length = min(copied - stepDone, limit - target);
      if (!decodePart(stepSource + stepDone, target, length, stepSource + copied)) return target;
      stepDone += length;
      target += length;
    } else {
      const length = min(total - stepDone, limit - target);
      if (literalsEnd - literals < <usize>length) {
        isCorrupt = true;
        return target;
      }
      memory.copy(targetZero + target, literals, length);
      literals += length;
      stepDone += length;
      target += length;
    }
  }
  return target;
}

/** Makes a part of a region; false where it could not. */
function decodePart(source: i32, target: i32, length: i32, end: i32): bool {
  if (!isSourceThere(source, length)) {
    wantedFrom = source;
    wantedEnd = end;
    return false;
  }
  if (stepDone === 0) enterRegion(source);
  decodeRegion(source, target, length);
  return !isCorrupt;
}

/** Makes `length` bytes of a region. */
function decodeRegion(source: i32, target: i32, length: i32): void {
  for (let index = 0; index < length; ) {
    const from = source + index;
    const to = target + index;
    if (!isInField()) {
      if (guessWord(from, to) && gap >= 4 && index + 4 <= length) {
        if (isDisputed()) {
          settleWord(to);
          closeWord(from);
        } else {
          store<i32>(targetZero + to, sourceWord(from));
          passWord(from);
        }
        gap -= 4;
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
    if (!isInField() && index + 4 <= length) {
      const isPlain = guessWord(from, to) && !isDisputed();
      if (isPlain && load<i32>(targetZero + to) === sourceWord(from)) {
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
