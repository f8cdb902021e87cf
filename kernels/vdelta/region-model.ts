import {
  agreeing,
  alternative,
  alternativeReliability,
  enterRegion,
  guessByte,
  learnByte,
  pick,
  picked,
  pickReliability,
  place,
  sourceByte,
} from "./guesser";
import { before, sourceNear, targetByte, targetZero } from "./images";
import { enterContexts, Mixer, mix, setContext } from "./mixer";
import { codeBit, isEncoding } from "./range-coder";
import { reciprocal } from "./tables";

/** After so many right guesses in a row one adaptive bit is enough. */
const CALM: i32 = 24;
const QUIET_ROWS: i32 = 512;
const QUIET_START: i32 = 65300;
const QUIET_MIN: i32 = 32;
const QUIET_MAX: i32 = 65528;
const QUIET_LIMIT: i32 = 1000;
const HISTORY: i32 = 0xffffff;

export const flagMixer = changetype<Mixer>(memory.data(128, 16));
export const byteMixer = changetype<Mixer>(memory.data(128, 16));
/** 16 bits of probability and 16 of count each. */
const quiet = memory.data(QUIET_ROWS * 4, 16);
/** One bit a byte, newest lowest: was the guess right? */
let history: i32 = 0xff;
/** Right guesses since the last wrong one. */
let calm: i32 = 0;

export function resetRegionModel(): void {
  for (let row = 0; row < QUIET_ROWS; row++) {
    store<i32>(quiet + ((<usize>row) << 2), QUIET_START);
  }
  history = 0xff;
  calm = 0;
}

export function enterModelRegion(source: i32): void {
  enterRegion(source);
  calm = 0;
}

/** Codes `length` bytes of a region; those of the target are read by an encoder, else written. */
export function codeRegion(source: i32, target: i32, length: i32): void {
  for (let index = 0; index < length; index++) {
    const from = source + index;
    const to = target + index;
    guessByte(from, to);
    const known = isEncoding ? targetByte(to) : 0;
    const hit = codeFlag(from, to, known === pick ? 1 : 0);
    const byte = hit ? pick : codeMiss(from, to, known);
    store<u8>(targetZero + to, byte);
    learnByte(from, to, byte);
    history = ((history << 1) | hit) & HISTORY;
    calm = hit ? calm + 1 : 0;
  }
}

function codeFlag(source: i32, target: i32, hit: i32): i32 {
  const align = source & 3;
  const kind = place >> 2;
  const calmBits = 32 - clz(calm);
  if (calm >= CALM && pick === sourceByte && alternative < 0) {
    return codeQuiet(hit, ((kind << 6) | (min(15, calmBits) << 2) | align) & (QUIET_ROWS - 1));
  }
  const certainty = pickReliability >> 13;
  const doubt = doubtOf();
  const type = (kind << 8) | (agreeing << 3) | doubt;
  const n1 = before(target, 1);
  const o1 = sourceNear(source - 1);
  const o2 = sourceNear(source - 2);
  const next = sourceNear(source + 1);
  const d1 = (n1 - o1) & 0xff;
  const n2 = before(target, 2);
  const d2 = (n2 - o2) & 0xff;
  setContext(0, (type << 8) | (history & 0xff));
  setContext(1, (type << 24) ^ ((sourceByte << 16) | (next << 8) | o1));
  setContext(2, alignedWord(source) + align * 77777);
  setContext(3, (type << 10) | (align << 5) | calmBits);
  setContext(4, ((sourceByte << 16) | (d1 << 8) | d2) ^ (align << 26));
  setContext(5, (((pick << 8) | (alternative & 0xff)) << 12) | type);
  setContext(6, ((n1 << 16) | (n2 << 8) | before(target, 3)) ^ (pick << 24));
  setContext(7, ((history & 0xffff) << 3) | align);
  setContext(8, ((o1 << 16) | (o2 << 8) | sourceByte) ^ ((history & 15) << 24));
  setContext(9, (certainty << 20) | (doubt << 16) | ((place & 3) << 12) | (history & 0xfff));
  setContext(10, ((o1 << 8) | sourceByte) ^ (align << 16) ^ ((history & 3) << 20));
  setContext(11, ((n1 << 8) | pick) ^ (agreeing << 16) ^ (d1 ? 1 << 25 : 0));
  flagMixer.first = (history & 1) | (certainty << 1) | (place << 4);
  flagMixer.second = align | (doubt << 2) | (min(calmBits, 7) << 5) | ((history & 15) << 8);
  flagMixer.firstMap = (agreeing & 15) | (place << 4);
  flagMixer.secondMap = (pick << 8) ^ (place << 3) ^ (history & 0xff);
  enterContexts(1);
  return mix(flagMixer, hit, 1);
}

function codeQuiet(hit: i32, row: i32): i32 {
  const at = quiet + ((<usize>row) << 2);
  const probability: i32 = load<u16>(at);
  const count: i32 = load<u16>(at, 2);
  const coded = codeBit(hit, min(max(probability, QUIET_MIN), QUIET_MAX));
  const away = (coded ? 65535 : 0) - probability;
  store<u16>(at, probability + ((away * reciprocal(count)) >> 15));
  if (count < QUIET_LIMIT) store<u16>(at, count + 1, 2);
  return coded;
}

function doubtOf(): i32 {
  return alternative < 0 ? 0 : 1 + (alternativeReliability >> 14);
}

function codeMiss(source: i32, target: i32, byte: i32): i32 {
  const other = alternative < 0 ? 256 : alternative;
  const doubt = doubtOf();
  const kind = place >> 2;
  const type = (kind << 8) | (agreeing << 3) | doubt;
  const align = source & 3;
  const o0 = sourceByte;
  const o1 = sourceNear(source - 1);
  const n1 = before(target, 1);
  const n2 = before(target, 2);
  const d1 = (n1 - o1) & 0xff;
  const d2 = (n2 - sourceNear(source - 2)) & 0xff;
  const next = sourceNear(source + 1);
  setContext(0, (o0 << 8) | pick);
  setContext(1, (o0 << 16) | (o1 << 8) | n1);
  setContext(2, n1);
  setContext(3, n1 | (n2 << 8));
  setContext(4, n1 | (n2 << 8) | (before(target, 3) << 16));
  setContext(5, (d1 << 8) | o0);
  setContext(6, ((other << 8) | pick) ^ (picked << 17));
  setContext(7, (o0 << 16) | (next << 8) | sourceNear(source + 2));
  setContext(8, (type << 3) | align);
  setContext(9, ((d1 << 16) | (d2 << 8) | align) ^ (o0 << 20));
  setContext(10, (type << 8) | n1);
  setContext(11, alignedWord(source) + align * 7777);
  setContext(12, (other << 8) | o0);
  setContext(13, ((o1 << 8) | n1) ^ (align << 16) ^ (kind << 20));
  byteMixer.first = doubt | (place << 3);
  byteMixer.second = align | (o0 << 2);
  let node = 1;
  let group = 1;
  for (let shift = 7; shift >= 0; shift--) {
    if (shift === 7 || shift === 3) {
      enterContexts(node);
      group = 1;
    }
    byteMixer.firstMap = node;
    byteMixer.secondMap = (pick << 8) | node;
    const bit = mix(byteMixer, (byte >> shift) & 1, group);
    node = (node << 1) | bit;
    group = (group << 1) | bit;
  }
  return node & 0xff;
}

function alignedWord(source: i32): i32 {
  const at = source & ~3;
  return (
    sourceNear(at) |
    (sourceNear(at + 1) << 8) |
    (sourceNear(at + 2) << 16) |
    (sourceNear(at + 3) << 24)
  );
}
