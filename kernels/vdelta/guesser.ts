import {
  endField,
  GUESSES,
  guessAt,
  isContested,
  kind,
  length,
  PLAIN,
  setValid,
  start,
  valid,
  word,
} from "./field";
import { sourceByte as byteOfSource, sourceSize, targetZero } from "./images";
import { beginOperand, enterCode, kindOfWord, learnOperand, mayBeginWithin } from "./instructions";
import { enterSpace, inPresentSpace } from "./spaces";
import { beginWord, keepWord, learnWord } from "./words";

// Guesses each byte of a region: the old byte, or what a field's guesses make of it. Which guess is
// taken follows from how often each was right for this kind of field and this byte of it.

const KINDS: i32 = 8;
const ROW: i32 = KINDS * 4;
const RELIABILITY_SHIFT: i32 = 6;
const INITIAL_SOURCE: i32 = 32768;
const INITIAL_GUESS: i32 = 40000;

const reliability = memory.data(GUESSES * ROW * 4, 16);
let isInstruction: bool = false;

// The results of `guessByte`.
export let sourceByte: i32 = 0;
export let pick: i32 = 0;
/** Which guess was picked; 0 is the old byte. */
export let picked: i32 = 0;
/** The best of the guesses that disagree with `pick`, or -1. */
export let alternative: i32 = -1;
/** Bit g: guess g agrees with `pick`; bit 0: the old byte does. */
export let agreeing: i32 = 1;
/** How reliable `pick` and `alternative` are, 0 to 65535. */
export let pickReliability: i32 = 0;
export let alternativeReliability: i32 = 0;
/** 4 * kind of the field + byte within it. */
export let place: i32 = 0;

export function resetGuesser(): void {
  for (let index = 0; index < GUESSES * ROW; index++) {
    const value = index < ROW ? INITIAL_SOURCE : INITIAL_GUESS;
    store<i32>(reliability + ((<usize>index) << 2), value);
  }
  endField();
}

/** A region begins: fields do not reach over its edges. */
export function enterRegion(source: i32): void {
  endField();
  enterCode(source);
}

export function guessByte(source: i32, target: i32): void {
  begin(source, target);
  choose(source, target);
}

/**
 * In place of `guessByte` where no field is open. True where a field of four bytes begins, in none of which
 * another one can begin; then `passWord` or `settleWord` may come next, else `choose`.
 */
export function guessWord(source: i32, target: i32): bool {
  begin(source, target);
  if (start < 0 || length !== 4 || !inPresentSpace(source + 3)) return false;
  return !mayBeginWithin(source);
}

/** Whether some guess at the open field differs from the old word. */
export function isDisputed(): bool {
  return isContested;
}

/** In place of four times `learnByte`, where all guesses are the old bytes, and right. */
export function passWord(source: i32): void {
  if (isInstruction) learnOperand(source, start);
  else keepWord();
  endField();
}

/** In place of four times `choose` and `learnByte`, where all picks are right; returns the new word. */
export function settleWord(target: i32): i32 {
  const row = reliability + ((<usize>(kind << 2)) << 2);
  let made = 0;
  for (let shift = 0; shift < 32; shift += 8) {
    const at = row + (<usize>shift >> 1);
    const old = (word >>> shift) & 0xff;
    let byte = old;
    let best = load<i32>(at);
    for (let rest = valid; rest !== 0; rest &= rest - 1) {
      const guess = ctz(rest);
      const share = load<i32>(at + <usize>(guess * ROW * 4));
      if (share <= best) continue;
      best = share;
      byte = (guessAt(guess) >>> shift) & 0xff;
    }
    made |= byte << shift;
    weighAll(at, shift, old, byte);
  }
  store<i32>(targetZero + target, made);
  return made;
}

/** In place of `learnByte` for the last byte of a word that `settleWord` made. */
export function closeWord(source: i32): void {
  if (isInstruction) learnOperand(source, start);
  else learnWord(start);
  endField();
}

/** Whether a field is open. */
export function isInField(): bool {
  return start >= 0;
}

function begin(source: i32, target: i32): void {
  const hasSpace = enterSpace(source);
  const within = start < 0 ? -1 : target - start;
  if (beginOperand(source, target, within, hasSpace)) {
    isInstruction = true;
  } else if (within < 0 && (source & 3) === 0 && source + 4 <= sourceSize) {
    isInstruction = false;
    beginWord(source, target, hasSpace, kindOfWord(source));
  }
}

/** Sets the results of `guessByte` for a byte that may lie in the open field. */
export function choose(source: i32, target: i32): void {
  const inField = start >= 0;
  const offset = inField ? target - start : 0;
  place = ((inField ? kind : PLAIN) << 2) | offset;
  sourceByte = byteOfSource(source);
  pick = sourceByte;
  picked = 0;
  pickReliability = load<i32>(reliability + ((<usize>place) << 2));
  agreeing = 1;
  alternative = -1;
  alternativeReliability = 0;
  if (!inField) return;
  if (isContested) weighGuesses(offset);
  else agreeing |= valid;
  if (pick === sourceByte) agreeing |= 1;
}

function weighGuesses(offset: i32): void {
  let best = pickReliability;
  let second = 0;
  for (let rest = valid; rest !== 0; rest &= rest - 1) {
    const guess = ctz(rest);
    const byte = (guessAt(guess) >>> (8 * offset)) & 0xff;
    const share = load<i32>(reliability + ((<usize>(guess * ROW + place)) << 2));
    if (byte === pick) {
      agreeing |= 1 << guess;
      if (share > best) best = share;
    } else if (share > best) {
      alternative = pick;
      second = best;
      pick = byte;
      picked = guess;
      best = share;
      agreeing = 1 << guess;
    } else if (share > second) {
      alternative = byte;
      second = share;
    }
  }
  pickReliability = best;
  alternativeReliability = second;
}

/** Learns from the byte that really stands there. */
export function learnByte(source: i32, target: i32, byte: i32): void {
  if (start < 0) return;
  const offset = target - start;
  if (isContested) {
    weighAll(reliability + ((<usize>place) << 2), 8 * offset, sourceByte, byte);
  } else if (byte !== sourceByte) {
    setValid(0);
  }
  if (offset + 1 < length) return;
  closeWord(source - offset);
}

/** Which of the guesses at a byte of the field were right; `at`: the row of the old byte. */
function weighAll(at: usize, shift: i32, old: i32, byte: i32): void {
  weigh(at, byte === old);
  for (let rest = valid; rest !== 0; rest &= rest - 1) {
    const guess = ctz(rest);
    const isRight = ((guessAt(guess) >>> shift) & 0xff) === byte;
    weigh(at + <usize>(guess * ROW * 4), isRight);
    // A guess that was wrong about one byte knows nothing of the next.
    if (!isRight) setValid(valid & ~(1 << guess));
  }
}

function weigh(at: usize, isRight: bool): void {
  const now = load<i32>(at);
  store<i32>(at, now + (((isRight ? 65535 : 0) - now) >> RELIABILITY_SHIFT));
}
