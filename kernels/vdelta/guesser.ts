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
} from "./field";
import { sourceByte as byteOfSource, sourceSize } from "./images";
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
 * Where a word begins and no field is open: true if all guesses at its four bytes are the old ones and
 * no other field can begin in them. Otherwise `choose` comes next, in place of `guessByte`.
 */
export function guessWord(source: i32, target: i32): bool {
  begin(source, target);
  return length === 4 && !isContested && inPresentSpace(source + 3) && !mayBeginWithin(source);
}

/** In place of four times `learnByte`, after `guessWord` was true and right. */
export function passWord(source: i32): void {
  if (isInstruction) learnOperand(source, start);
  else keepWord();
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
  for (let guess = 1; guess < GUESSES; guess++) {
    if ((valid & (1 << guess)) === 0) continue;
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
  if (!isContested) {
    if (byte !== sourceByte) setValid(0);
  } else {
    weigh(place, byte === sourceByte);
    for (let guess = 1; guess < GUESSES; guess++) {
      if ((valid & (1 << guess)) === 0) continue;
      const isRight = ((guessAt(guess) >>> (8 * offset)) & 0xff) === byte;
      weigh(guess * ROW + place, isRight);
      // A guess that was wrong about one byte knows nothing of the next.
      if (!isRight) setValid(valid & ~(1 << guess));
    }
  }
  if (offset + 1 < length) return;
  if (isInstruction) learnOperand(source - offset, start);
  else learnWord(start);
  endField();
}

function weigh(row: i32, isRight: bool): void {
  const at = reliability + ((<usize>row) << 2);
  const now = load<i32>(at);
  store<i32>(at, now + (((isRight ? 65535 : 0) - now) >> RELIABILITY_SHIFT));
}
