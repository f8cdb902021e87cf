import {
  addressAt,
  BRANCH,
  beginField,
  GUESSES,
  guess,
  kind,
  lookUp,
  OFFSET,
  PAGE,
  PLAIN,
  SHORT_BRANCH,
  word,
} from "./field";
import { sourceSize, sourceWord, targetWord } from "./images";
import { learnAddress, setExact } from "./learned";
import { addressOfSource, addressOfTarget } from "./spaces";

// AArch64: B and BL, and addresses that ADRP and a later ADD, load or store make together. The full
// address is translated, then split again.

/** How far behind an ADRP its partner is looked for, in instructions. */
const PARTNER_DISTANCE: i32 = 9;
const PAGE_MASK: i32 = ~0xfff;

/** Page that each register holds by the latest ADRP, in the old and in the new image. */
const sourcePages = memory.data(32 * 4, 16);
const targetPages = memory.data(32 * 4, 16);
/** Bit r: register r holds a page. */
let sourceKnown: i32 = 0;
let targetKnown: i32 = 0;
/** The full address that the open field stands for. */
let goal: i32 = 0;

export function beginAarch64(source: i32, target: i32, within: i32, hasSpace: bool): bool {
  if ((source & 3) !== 0 || within >= 0 || source + 4 > sourceSize) return false;
  const old = sourceWord(source);
  if (isBranch(old)) {
    branch(old, source, target);
    return true;
  }
  if (!hasSpace) return false;
  if (isAdrp(old)) {
    page(old, source, target);
    return true;
  }
  return offset(old, target);
}

function branch(old: i32, source: i32, target: i32): void {
  beginField(target, BRANCH, old);
  const found = lookUp(addressOfSource(source) + branchOffset(old));
  const here = addressOfTarget(target);
  for (let which = 1; which < GUESSES; which++) {
    if ((found & (1 << which)) === 0) continue;
    const words = (addressAt(which) - here) >> 2;
    guess(which, (old & 0xfc000000) | (words & 0x3ffffff));
  }
}

function page(old: i32, source: i32, target: i32): void {
  const register = old & 31;
  const held = (addressOfSource(source) & PAGE_MASK) + pageOffset(old);
  store<i32>(sourcePages + ((<usize>register) << 2), held);
  sourceKnown |= 1 << register;
  goal = held + partnerOffset(source, register);
  const here = addressOfTarget(target) >>> 12;
  beginField(target, PAGE, old);
  const found = lookUp(goal);
  for (let which = 1; which < GUESSES; which++) {
    if ((found & (1 << which)) === 0) continue;
    guess(which, withPages(old, (addressAt(which) >>> 12) - here));
  }
}

/** What the partner of the ADRP at `source` adds; 0 where none is near. */
function partnerOffset(source: i32, register: i32): i32 {
  for (let step = 1; step <= PARTNER_DISTANCE; step++) {
    const at = source + 4 * step;
    if (at + 4 > sourceSize) return 0;
    const value = sourceWord(at);
    const added = offsetOf(value);
    if (added >= 0 && ((value >>> 5) & 31) === register) return added;
    if ((value & 31) === register && isAdrp(value)) return 0;
  }
  return 0;
}

function offset(old: i32, target: i32): bool {
  const added = offsetOf(old);
  if (added < 0) return false;
  const register = (old >>> 5) & 31;
  if ((sourceKnown & targetKnown & (1 << register)) === 0) return false;
  const targetPage = load<i32>(targetPages + ((<usize>register) << 2));
  goal = load<i32>(sourcePages + ((<usize>register) << 2)) + added;
  const scale = scaleOf(old);
  beginField(target, OFFSET, old);
  const found = lookUp(goal);
  for (let which = 1; which < GUESSES; which++) {
    if ((found & (1 << which)) === 0) continue;
    const units = (addressAt(which) - targetPage) >> scale;
    if (units < 0 || units > 0xfff) continue;
    guess(which, (old & ~(0xfff << 10)) | (units << 10));
  }
  return true;
}

export function kindOfAarch64Word(source: i32): i32 {
  return isShortBranch(sourceWord(source)) ? SHORT_BRANCH : PLAIN;
}

export function learnAarch64(source: i32, target: i32): void {
  const now = targetWord(target);
  if (kind === BRANCH) {
    if (!isBranch(now)) return;
    const from = addressOfSource(source) + branchOffset(word);
    setExact(from, addressOfTarget(target) + branchOffset(now));
  } else if (kind === PAGE) {
    const register = now & 31;
    const held = (addressOfTarget(target) & PAGE_MASK) + pageOffset(now);
    store<i32>(targetPages + ((<usize>register) << 2), held);
    if (isAdrp(now)) targetKnown |= 1 << register;
    else targetKnown &= ~(1 << register);
  } else {
    const added = offsetOf(now);
    const register = (now >>> 5) & 31;
    if (added < 0 || (targetKnown & (1 << register)) === 0) return;
    learnAddress(goal, load<i32>(targetPages + ((<usize>register) << 2)) + added);
  }
}

// Arm Architecture Reference Manual for A-profile, C6.2: encodings of the instructions.

function isBranch(value: i32): bool {
  return (value & 0x7c000000) === 0x14000000;
}

function branchOffset(value: i32): i32 {
  return (value << 6) >> 4;
}

function isAdrp(value: i32): bool {
  return (value & 0x9f000000) === <i32>0x90000000;
}

/** Bytes, modulo 2^32. */
function pageOffset(value: i32): i32 {
  const pages = (((value >>> 5) & 0x7ffff) << 2) | ((value >>> 29) & 3);
  return pages << 12;
}

function withPages(value: i32, pages: i32): i32 {
  return (value & 0x9f00001f) | ((pages & 3) << 29) | (((pages >> 2) & 0x7ffff) << 5);
}

/** Conditional branches, CBZ, CBNZ, TBZ, TBNZ. */
function isShortBranch(value: i32): bool {
  return (value & 0xff000010) === <i32>0x54000000 || (value & 0x7c000000) === 0x34000000;
}

/** The unsigned offset of an ADD (immediate, 64 bits) or of a load or store, in bytes; else -1. */
function offsetOf(value: i32): i32 {
  const immediate = (value >>> 10) & 0xfff;
  if ((value & 0xffc00000) === <i32>0x91000000) return immediate;
  if ((value & 0x3b000000) === 0x39000000) return immediate << scaleOf(value);
  return -1;
}

function scaleOf(value: i32): i32 {
  if ((value & 0xffc00000) === <i32>0x91000000) return 0;
  // Vector registers of 128 bits have size 0 and the upper bit of opc set.
  const isQuad = value >>> 30 === 0 && (value & 0x04800000) === 0x04800000;
  return isQuad ? 4 : value >>> 30;
}
