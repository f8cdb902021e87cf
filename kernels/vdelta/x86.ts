import {
  addressAt,
  BRANCH,
  beginField,
  GUESSES,
  guess,
  kind,
  lookUp,
  OFFSET,
  PLAIN,
  SHORT_BRANCH,
  word,
} from "./field";
import { sourceByte, sourceSize, sourceWord, targetWord } from "./images";
import { learnAddress, lookNear } from "./learned";
import { addressOfSource, addressOfTarget, translate } from "./spaces";

// x86 and x86-64: distances of 32 bits behind CALL, JMP, Jcc and in RIP-relative operands, at any
// place. Instructions are not followed; a pattern counts only where its distance leads somewhere.

let goal: i32 = 0;
let regionStart: i32 = 0;

export function enterX86(source: i32): void {
  regionStart = source;
}

export function beginX86(source: i32, target: i32, within: i32, hasSpace: bool): bool {
  if (source - regionStart < 2 || source + 4 > sourceSize) return false;
  if (within >= 0 && kind !== PLAIN) return false;
  const operandKind = kindOf(sourceByte(source - 1), sourceByte(source - 2), hasSpace);
  if (operandKind === PLAIN) return false;
  const distance = sourceWord(source);
  const to = addressOfSource(source) + 4 + distance;
  const isInside = hasSpace ? translate(to) : to >= 0 && to < sourceSize;
  if (!isInside && (operandKind !== OFFSET || lookNear(to) === 0)) return false;
  goal = to;
  beginField(target, operandKind, distance);
  const found = lookUp(to);
  const here = addressOfTarget(target) + 4;
  for (let which = 1; which < GUESSES; which++) {
    if ((found & (1 << which)) !== 0) guess(which, addressAt(which) - here);
  }
  return true;
}

/** Whether one of the bytes of a plain word but the last looks like what a distance follows. */
export function mayX86BeginWithin(): bool {
  if (kind !== PLAIN) return false;
  for (let shift = 0; shift < 24; shift += 8) {
    const byte = (word >>> shift) & 0xff;
    if (byte === 0xe8 || byte === 0xe9 || (byte & 0xf0) === 0x80) return true;
    if ((byte & 0xc7) === 0x05) return true;
  }
  return false;
}

export function learnX86(target: i32): void {
  learnAddress(goal, addressOfTarget(target) + 4 + targetWord(target));
}

/** Intel SDM volume 2: CALL (E8), JMP (E9), Jcc (0F 80 to 8F), ModR/M with mod 0 and r/m 5. */
function kindOf(before: i32, beforeThat: i32, hasSpace: bool): i32 {
  if (before === 0xe8 || before === 0xe9) return BRANCH;
  if (beforeThat === 0x0f && (before & 0xf0) === 0x80) return SHORT_BRANCH;
  if (hasSpace && (before & 0xc7) === 0x05) return OFFSET;
  return PLAIN;
}
