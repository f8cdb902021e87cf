import { FIELD, type Field, GUESSES } from "../field.ts";
import type { Instructions } from "./instructions.ts";

/** 32-bit ARM: B and BL with an offset of 24 bits. */
export class ArmInstructions implements Instructions {
  readonly taggedAddresses = true;
  readonly #field: Field;

  constructor(field: Field) {
    this.#field = field;
  }

  enter(): void {}

  begin(source: number, target: number, within: number): boolean {
    const field = this.#field;
    if ((source & 3) !== 0 || within >= 0 || source + 4 > field.images.sourceSize) return false;
    const word = field.sourceWord(source);
    if (!isBranch(word)) return false;
    field.begin(target, FIELD.branch, word);
    const { spaces, addresses } = field;
    const found = field.lookUp((spaces.addressOfSource(source) + 8 + offsetOf(word)) | 0);
    const here = spaces.addressOfTarget(target) + 8;
    for (let guess = 1; guess < GUESSES; guess++) {
      if ((found & (1 << guess)) === 0) continue;
      const words = ((addresses[guess] as number) - here) >> 2;
      field.guess(guess, (word & 0xff000000) | (words & 0xffffff));
    }
    return true;
  }

  mayBeginWithin(): boolean {
    return false;
  }

  kindOfWord(): number {
    return FIELD.plain;
  }

  learn(source: number, target: number): void {
    const field = this.#field;
    const now = field.targetWord(target);
    if (!isBranch(now)) return;
    const { spaces, learned } = field;
    const from = spaces.addressOfSource(source) + 8 + offsetOf(field.word);
    learned.exact.set(from | 0, (spaces.addressOfTarget(target) + 8 + offsetOf(now)) | 0);
  }
}

/** Armv7-A ARM, A8.8.18 (B) and A8.8.25 (BL, BLX); condition 15 is BLX. */
function isBranch(word: number): boolean {
  return (word & 0x0e000000) === 0x0a000000;
}

function offsetOf(word: number): number {
  return (word << 8) >> 6;
}
