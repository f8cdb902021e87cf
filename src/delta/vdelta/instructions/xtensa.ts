import { FIELD, type Field, GUESSES } from "../field.ts";
import type { Instructions } from "./instructions.ts";

/**
 * Xtensa: CALL0 to CALL12 and L32R, instructions of three bytes at any place. Instructions are
 * followed from the region's beginning, two or three bytes at a time, and fall into step by themselves.
 */
export class XtensaInstructions implements Instructions {
  readonly taggedAddresses = false;
  readonly #field: Field;
  #next = 0;

  constructor(field: Field) {
    this.#field = field;
  }

  enter(source: number): void {
    this.#next = source;
  }

  begin(source: number, target: number, within: number): boolean {
    const field = this.#field;
    const isHere = this.#next === source;
    const { images } = field;
    const first = (images.source[source - images.sourceBase] as number) & 15;
    if (isHere) this.#next = source + (first >= 8 && first < 14 ? 2 : 3);
    if (!isHere || (first !== 5 && first !== 1)) return false;
    if (within >= 0 && field.length === 3) return false;
    if (source + 4 > field.images.sourceSize) return false;
    const word = field.sourceWord(source);
    const isCall = first === 5;
    field.begin(target, isCall ? FIELD.branch : FIELD.page, word);
    field.length = 3;
    const { spaces, addresses } = field;
    const found = field.lookUp(this.#goal(word, source));
    const here = spaces.addressOfTarget(target);
    const base = isCall ? callBase(here) : literalBase(here);
    for (let guess = 1; guess < GUESSES; guess++) {
      if ((found & (1 << guess)) === 0) continue;
      const words = ((addresses[guess] as number) - base) >> 2;
      const low = isCall
        ? (word & 0x3f) | ((words & 0x3ffff) << 6)
        : (word & 0xff) | ((words & 0xffff) << 8);
      field.guess(guess, (word & 0xff000000) | low);
    }
    return true;
  }

  mayBeginWithin(source: number): boolean {
    const { word } = this.#field;
    while (this.#next < source + 4) {
      if (this.#next <= source) return true;
      const first = (word >>> (8 * (this.#next - source))) & 15;
      if (first === 5 || first === 1) return true;
      this.#next += first >= 8 && first < 14 ? 2 : 3;
    }
    return false;
  }

  kindOfWord(): number {
    return FIELD.plain;
  }

  learn(source: number, target: number): void {
    const field = this.#field;
    const { word } = field;
    const { target: bytes, targetBase } = field.images;
    const at = target - targetBase;
    const now =
      (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);
    if ((now & 15) !== (word & 15)) return;
    const here = field.spaces.addressOfTarget(target);
    const to =
      (now & 15) === 5 ? callBase(here) + callOffset(now) : literalBase(here) + literalOffset(now);
    field.learned.exact.set(this.#goal(word, source), to | 0);
  }

  #goal(word: number, source: number): number {
    const here = this.#field.spaces.addressOfSource(source);
    const goal =
      (word & 15) === 5
        ? callBase(here) + callOffset(word)
        : literalBase(here) + literalOffset(word);
    return goal | 0;
  }
}

// Xtensa Instruction Set Architecture, CALL0 and L32R.

function callBase(address: number): number {
  return ((address & ~3) + 4) | 0;
}

function callOffset(word: number): number {
  return ((word << 8) >> 14) << 2;
}

function literalBase(address: number): number {
  return (address + 3) & ~3;
}

function literalOffset(word: number): number {
  return (((word >>> 8) & 0xffff) - 0x10000) << 2;
}
