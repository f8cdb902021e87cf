import { FIELD, type Field, GUESSES } from "../field.ts";
import type { Instructions } from "./instructions.ts";

/** Thumb and Thumb-2: BL, BLX and the wide B, each two halfwords with an offset of 25 bits. */
export class ThumbInstructions implements Instructions {
  readonly taggedAddresses = true;
  readonly #field: Field;

  constructor(field: Field) {
    this.#field = field;
  }

  enter(): void {}

  begin(source: number, target: number, within: number): boolean {
    const field = this.#field;
    if ((source & 1) !== 0 || source + 4 > field.images.sourceSize) return false;
    // A branch may begin in the middle of a word of data, but not of another branch.
    if (within >= 0 && (within !== 2 || field.kind === FIELD.branch)) return false;
    const word = field.sourceWord(source);
    if (!isWideBranch(word)) return false;
    field.begin(target, FIELD.branch, word);
    const { spaces, addresses } = field;
    const found = field.lookUp((spaces.addressOfSource(source) + 4 + offsetOf(word)) | 0);
    const here = spaces.addressOfTarget(target) + 4;
    for (let guess = 1; guess < GUESSES; guess++) {
      if ((found & (1 << guess)) === 0) continue;
      field.guess(guess, withOffset(word, ((addresses[guess] as number) - here) | 0));
    }
    return true;
  }

  mayBeginWithin(): boolean {
    const { word, kind } = this.#field;
    return kind !== FIELD.branch && ((word >>> 16) & 0xf800) === 0xf000;
  }

  kindOfWord(): number {
    return FIELD.plain;
  }

  learn(source: number, target: number): void {
    const field = this.#field;
    const now = field.targetWord(target);
    if (!isWideBranch(now)) return;
    const { spaces, learned } = field;
    const from = (spaces.addressOfSource(source) + 4 + offsetOf(field.word)) | 0;
    learned.exact.set(from, (spaces.addressOfTarget(target) + 4 + offsetOf(now)) | 0);
  }
}

/** Armv7-M ARM, A7.7.12 (B, T4) and A7.7.18 (BL); A2.5 of Armv7-A for BLX. */
function isWideBranch(word: number): boolean {
  if ((word & 0xf800) !== 0xf000) return false;
  const second = (word >>> 16) & 0xd000;
  return second === 0xd000 || second === 0xc000 || second === 0x9000;
}

function offsetOf(word: number): number {
  const second = word >>> 16;
  const sign = (word >> 10) & 1;
  const i1 = ((second >> 13) & 1) ^ sign ^ 1;
  const i2 = ((second >> 11) & 1) ^ sign ^ 1;
  const offset = (i1 << 23) | (i2 << 22) | ((word & 0x3ff) << 12) | ((second & 0x7ff) << 1);
  return sign ? offset - (1 << 24) : offset;
}

function withOffset(word: number, offset: number): number {
  const sign = offset < 0 ? 1 : 0;
  const j1 = ((offset >> 23) & 1) ^ 1 ^ sign;
  const j2 = ((offset >> 22) & 1) ^ 1 ^ sign;
  const first = (word & 0xf800) | (sign << 10) | ((offset >> 12) & 0x3ff);
  const second = ((word >>> 16) & 0xd000) | (j1 << 13) | (j2 << 11) | ((offset >> 1) & 0x7ff);
  return first | (second << 16);
}
