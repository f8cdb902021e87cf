import { before, targetByte, targetZero } from "./images";
import { enterContexts, Mixer, mix, setContext, wasLikely } from "./mixer";
import { codeBit, isEncoding } from "./range-coder";

const HASHED_BYTES: i32 = 5;
const MIN_MATCH: i32 = 4;
const MAX_MATCH: i32 = 32;
/** No byte: nothing is repeated at present. */
const NOTHING: i32 = 256;

/** Of eight bits about half come out as the likelier one where bytes follow no rule. */
const RULELESS: i32 = 4505;
const ALL_RIGHT: i32 = 8 << 10;
const FITNESS_SHIFT: i32 = 7;
/** So many bytes are then taken as they are, each time twice as many, before contexts are tried again. */
const FEWEST_RAW: i32 = 1024;
/** Here the contexts are worth something again. */
const RULED: i32 = 5120;

export const literalMixer = changetype<Mixer>(memory.data(128, 16));
/** Hash of five bytes -> where in the new image they ended; 0: nowhere. */
let index: usize = 0;
let indexShift: i32 = 0;
let windowBytes: i32 = 0;
/** Of a place, what tells alike places apart: the lowest bits of its address that count. */
let alignMask: i32 = 3;
/** How many bits of a byte came out as the likelier one, in 1/1024, on average. */
let fitness: i32 = ALL_RIGHT;
/** Bytes that are still taken as they are, and how many will be the next time. */
let raw: i32 = 0;
let nextRaw: i32 = FEWEST_RAW;
let mostRaw: i32 = 0;
/** What the fitness is put to when contexts are tried again: how long they have to prove themselves. */
let trial: i32 = 0;
let matchLength: i32 = 0;
let matchAt: i32 = 0;
/** Bits of the latest byte that came out as the likelier one. */
let right: i32 = 0;

export function setUpLiterals(
  table: usize,
  indexBits: i32,
  windowBits: i32,
  grain: i32,
  trialFitness: i32,
  mostRawBits: i32,
): void {
  trial = trialFitness;
  mostRaw = 1 << mostRawBits;
  index = table;
  indexShift = 32 - indexBits;
  windowBytes = 1 << windowBits;
  alignMask = (1 << grain) - 1;
  matchLength = 0;
  fitness = ALL_RIGHT;
  raw = 0;
  nextRaw = FEWEST_RAW;
}

/** A run of literals begins. */
export function enterLiterals(): void {
  matchLength = 0;
}

/** Codes `length` literals; those of the target are read by an encoder, else written. */
export function codeLiterals(target: i32, length: i32): void {
  for (let done = 0; done < length; done++) {
    const to = target + done;
    if (raw > 0) {
      store<u8>(targetZero + to, codeRaw(isEncoding ? targetByte(to) : 0));
      raw -= 1;
      continue;
    }
    findMatch(to);
    const expected = matchLength > 0 ? targetByte(matchAt) : NOTHING;
    setContexts(to, expected);
    const byte = codeByte(isEncoding ? targetByte(to) : 0, to, expected);
    store<u8>(targetZero + to, byte);
    if (expected === byte) {
      matchLength += 1;
      matchAt += 1;
    } else {
      matchLength = 0;
    }
    fitness += ((right << 10) - fitness) >> FITNESS_SHIFT;
    if (fitness > RULED) {
      nextRaw = FEWEST_RAW;
    } else if (fitness < RULELESS) {
      raw = nextRaw;
      nextRaw = min(2 * nextRaw, mostRaw);
      matchLength = 0;
      fitness = trial;
    }
  }
}

/** A byte of compressed or encrypted data: contexts only cost. */
function codeRaw(byte: i32): i32 {
  let made = 0;
  for (let shift = 7; shift >= 0; shift--) {
    made = (made << 1) | codeBit((byte >> shift) & 1, 32768);
  }
  return made;
}

function findMatch(target: i32): void {
  if (target < HASHED_BYTES) return;
  const slot = index + ((<usize>hashBefore(target)) << 2);
  const candidate = load<i32>(slot);
  store<i32>(slot, target);
  if (matchLength > 0 || candidate === 0) return;
  if (target - candidate > windowBytes - MAX_MATCH) return;
  let length = 0;
  while (
    length < MAX_MATCH &&
    candidate - 1 - length >= 0 &&
    targetByte(candidate - 1 - length) === targetByte(target - 1 - length)
  ) {
    length += 1;
  }
  if (length < MIN_MATCH) return;
  matchLength = length;
  matchAt = candidate;
}

function hashBefore(target: i32): i32 {
  const four = bswap<i32>(load<i32>(targetZero + target - 4));
  const hash: i32 = (four * <i32>0x9e3779b1) ^ ((targetByte(target - 5) + 1) * <i32>0x85ebca6b);
  return (hash ^ (hash >>> 15)) >>> indexShift;
}

function setContexts(target: i32, expected: i32): void {
  const n1 = before(target, 1);
  const n2 = before(target, 2);
  const n3 = before(target, 3);
  const n4 = before(target, 4);
  const n5 = before(target, 5);
  const align = target & alignMask;
  const four = n1 | (n2 << 8) | (n3 << 16) | (n4 << 24);
  setContext(0, align);
  setContext(1, (n1 << 2) | align);
  setContext(2, n2 | (n4 << 8) | (align << 16));
  setContext(3, (n1 | (n2 << 8)) ^ (align << 20));
  setContext(4, n1 | (n2 << 8) | (n3 << 16));
  setContext(5, four);
  setContext(6, (expected << 5) | min(15, matchLength));
  setContext(7, (n2 << 8) | align);
  setContext(8, (n3 << 16) | (n2 << 8) | align);
  setContext(9, four * 0x2545f491 + n5 * 0x1357 + before(target, 6) * 0x71235 + 99);
  setContext(10, (expected << 8) | n1);
  setContext(11, four * 31 + n5);
  setContext(12, (n1 & 0xf8) | ((n2 & 0xf8) << 8) | ((n4 & 0xf8) << 16) | (align << 26));
  setContext(13, n4 | (before(target, 8) << 8) | (align << 16) | ((align & 1 ? n1 : 0) << 20));
}

function codeByte(byte: i32, target: i32, expected: i32): i32 {
  const length = matchLength;
  const strength = length === 0 ? 0 : length < 16 ? 1 + (length >> 2) : length < 32 ? 5 : 6;
  const firstMap = expected === NOTHING ? 0 : expected;
  literalMixer.first = (target & alignMask) | (strength << 2);
  let node = 1;
  let group = 1;
  right = 0;
  for (let shift = 7; shift >= 0; shift--) {
    if (shift === 7 || shift === 3) {
      enterContexts(node);
      group = 1;
    }
    literalMixer.second = min(7, length) | (node << 3);
    literalMixer.firstMap = node;
    literalMixer.secondMap = (firstMap << 8) | node;
    const bit = mix(literalMixer, (byte >> shift) & 1, group);
    right += wasLikely;
    node = (node << 1) | bit;
    group = (group << 1) | bit;
  }
  return node & 0xff;
}
