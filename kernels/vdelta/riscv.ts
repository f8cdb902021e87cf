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
  POINTER,
  word,
} from "./field";
import { sourceByte, sourceSize, sourceWord, targetWord } from "./images";
import { learnAddress, setExact } from "./learned";
import { addressOfSource, addressOfTarget } from "./spaces";

// RISC-V: JAL, and addresses that AUIPC or LUI and a later ADDI, load, store or JALR make together.
// The full address is translated, then split again.

const PARTNER_DISTANCE_BYTES: i32 = 16;
const UPPER: i32 = ~0xfff;

/** What each register holds by the latest AUIPC or LUI, in the old and in the new image. */
const sourceUpper = memory.data(32 * 4, 16);
const targetUpper = memory.data(32 * 4, 16);
/** Bit r: register r holds something. */
let sourceKnown: i32 = 0;
let targetKnown: i32 = 0;
let next: i32 = 0;
let goal: i32 = 0;

export function enterRiscv(source: i32): void {
  next = source + (source & 1);
}

export function beginRiscv(source: i32, target: i32, within: i32, hasSpace: bool): bool {
  if (source !== next) return false;
  // Instructions whose two lowest bits are not both set have 16 bits.
  const isLong = (sourceByte(source) & 3) === 3;
  next = source + (isLong ? 4 : 2);
  if (!isLong || source + 4 > sourceSize) return false;
  if (within >= 0 && kind !== PLAIN && kind !== POINTER) return false;
  const old = sourceWord(source);
  const opcode = old & 0x7f;
  if (opcode === 0x6f) {
    jump(old, source, target);
    return true;
  }
  if (!hasSpace) return false;
  if (opcode === 0x17 || opcode === 0x37) {
    upper(old, source, target);
    return true;
  }
  return lower(old, target);
}

function jump(old: i32, source: i32, target: i32): void {
  beginField(target, BRANCH, old);
  const found = lookUp(addressOfSource(source) + jumpOffset(old));
  const here = addressOfTarget(target);
  for (let which = 1; which < GUESSES; which++) {
    if ((found & (1 << which)) !== 0) guess(which, withJumpOffset(old, addressAt(which) - here));
  }
}

function upper(old: i32, source: i32, target: i32): void {
  const register = (old >>> 7) & 31;
  const isRelative = (old & 0x7f) === 0x17;
  const held = (isRelative ? addressOfSource(source) : 0) + (old & UPPER);
  store<i32>(sourceUpper + ((<usize>register) << 2), held);
  sourceKnown |= 1 << register;
  goal = held + partnerOffset(source, register);
  const base = isRelative ? addressOfTarget(target) : 0;
  beginField(target, PAGE, old);
  const found = lookUp(goal);
  for (let which = 1; which < GUESSES; which++) {
    if ((found & (1 << which)) === 0) continue;
    guess(which, (old & 0xfff) | ((addressAt(which) - base + 0x800) & UPPER));
  }
}

function partnerOffset(source: i32, register: i32): i32 {
  const end = min(source + PARTNER_DISTANCE_BYTES, sourceSize - 4);
  for (let at = source + 4; at <= end; ) {
    const value = sourceWord(at);
    const isLong = (value & 3) === 3;
    if (isLong && hasLowerOffset(value) && ((value >>> 15) & 31) === register) {
      return lowerOffset(value);
    }
    at += isLong ? 4 : 2;
  }
  return 0;
}

function lower(old: i32, target: i32): bool {
  if (!hasLowerOffset(old)) return false;
  const register = (old >>> 15) & 31;
  if ((sourceKnown & targetKnown & (1 << register)) === 0) return false;
  const held = load<i32>(targetUpper + ((<usize>register) << 2));
  goal = load<i32>(sourceUpper + ((<usize>register) << 2)) + lowerOffset(old);
  beginField(target, OFFSET, old);
  const found = lookUp(goal);
  for (let which = 1; which < GUESSES; which++) {
    if ((found & (1 << which)) === 0) continue;
    const offset = addressAt(which) - held;
    if (offset >= -2048 && offset <= 2047) guess(which, withLowerOffset(old, offset));
  }
  return true;
}

export function mayRiscvBeginWithin(source: i32): bool {
  if (next >= source + 4) return false;
  // Two short instructions leave nothing that could begin.
  if (next !== source + 2 || ((word >>> 16) & 3) === 3) return true;
  next = source + 4;
  return false;
}

export function learnRiscv(source: i32, target: i32): void {
  const now = targetWord(target);
  if (kind === BRANCH) {
    if ((now & 0x7f) !== 0x6f) return;
    const from = addressOfSource(source) + jumpOffset(word);
    setExact(from, addressOfTarget(target) + jumpOffset(now));
  } else if (kind === PAGE) {
    const opcode = now & 0x7f;
    const register = (now >>> 7) & 31;
    const base = opcode === 0x17 ? addressOfTarget(target) : 0;
    store<i32>(targetUpper + ((<usize>register) << 2), base + (now & UPPER));
    if (opcode === 0x17 || opcode === 0x37) targetKnown |= 1 << register;
    else targetKnown &= ~(1 << register);
  } else if (hasLowerOffset(now)) {
    const register = (now >>> 15) & 31;
    if ((targetKnown & (1 << register)) === 0) return;
    const held = load<i32>(targetUpper + ((<usize>register) << 2));
    learnAddress(goal, held + lowerOffset(now));
  }
}

// The RISC-V Instruction Set Manual, volume I, chapter 2: immediates of J, U, I and S form.

function jumpOffset(value: i32): i32 {
  const low = ((value >>> 20) & 0x7fe) | ((value >>> 9) & 0x800) | (value & 0xff000);
  return low | ((value >> 31) << 20);
}

function withJumpOffset(value: i32, offset: i32): i32 {
  return (
    (value & 0xfff) |
    ((offset & 0x7fe) << 20) |
    ((offset & 0x800) << 9) |
    (offset & 0xff000) |
    ((offset & 0x100000) << 11)
  );
}

/** ADDI, loads, JALR (I form) and stores (S form). */
function hasLowerOffset(value: i32): bool {
  const opcode = value & 0x7f;
  if (opcode === 0x13) return ((value >>> 12) & 7) === 0;
  return opcode === 0x03 || opcode === 0x67 || opcode === 0x23;
}

function lowerOffset(value: i32): i32 {
  if ((value & 0x7f) === 0x23) return ((value >> 25) << 5) | ((value >>> 7) & 31);
  return value >> 20;
}

function withLowerOffset(value: i32, offset: i32): i32 {
  if ((value & 0x7f) === 0x23) {
    return (value & 0x01fff07f) | ((offset & 0xfe0) << 20) | ((offset & 31) << 7);
  }
  return (value & 0x000fffff) | (offset << 20);
}
