import {
  beginField,
  EXACT,
  FAR,
  guess,
  kind,
  MAPPED,
  NEAR,
  PLAIN,
  POINTER,
  RELATIVE,
  setKind,
  valid,
  WORD,
  word,
} from "./field";
import { sourceWord, targetWord } from "./images";
import { found, learnShift, lookExact, lookNear, lookWord, setExact, setWord } from "./learned";
import { addressOfSource, addressOfTarget, translate, translated } from "./spaces";

/** Smaller words are counts and flags, not addresses. */
const SMALLEST_ADDRESS: u32 = 0x40;
const SMALLEST_NEIGHBOUR: u32 = 0x400;

// Aligned words of data: pointers into the module, distances to places in it, and values that are
// seen to change alike. Addresses of code may carry a mode in their lowest bit (Thumb).

let tagMask: i32 = 0;

export function setTags(areTagged: bool): void {
  tagMask = areTagged ? 1 : 0;
}

export function beginWord(source: i32, target: i32, hasSpace: bool, wordKind: i32): void {
  const value = sourceWord(source);
  beginField(target, wordKind, value);
  if (lookWord(value)) guess(WORD, found);
  if (hasSpace && <u32>value > SMALLEST_ADDRESS) pointer(value, source, target);
  if (<u32>value <= SMALLEST_NEIGHBOUR) return;
  const near = lookNear(value);
  if (near !== 0) guess(near === 2 ? NEAR : FAR, value + found);
}

function pointer(value: i32, source: i32, target: i32): void {
  const tag = value & tagMask;
  const address = value - tag;
  if (translate(address)) {
    if (kind === PLAIN) setKind(POINTER);
    guess(MAPPED, translated + tag);
    if (lookExact(address)) guess(EXACT, found + tag);
    return;
  }
  if (!translate(addressOfSource(source) + value)) return;
  if (kind === PLAIN) setKind(RELATIVE);
  guess(MAPPED, translated - addressOfTarget(target));
}

/** Learns that the word stayed what it was. */
export function keepWord(): void {
  if (kind === POINTER) {
    const address = word - (word & tagMask);
    setExact(address, address);
  }
  if ((valid & (1 << WORD)) === 0) setWord(word, word);
  if (<u32>word > SMALLEST_NEIGHBOUR) learnShift(word, 0);
}

export function learnWord(target: i32): void {
  const now = targetWord(target);
  if (kind === POINTER) setExact(word - (word & tagMask), now - (now & tagMask));
  // What is known already need not be written again.
  if (now !== word || (valid & (1 << WORD)) === 0) setWord(word, now);
  if (<u32>word > SMALLEST_NEIGHBOUR) learnShift(word, now - word);
}
