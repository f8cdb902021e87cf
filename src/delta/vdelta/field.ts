import type { AddressMap } from "./address-map.ts";
import { type AddressSpaces, NOWHERE } from "./address-spaces.ts";
import type { LearnedMaps } from "./learned-maps.ts";

/** The parts of both images that are in memory; positions are those of the whole images. */
export interface Images {
  source: Uint8Array;
  /** Position of `source[0]` in the old image. */
  sourceBase: number;
  sourceSize: number;
  target: Uint8Array;
  targetBase: number;
}

/** What a field is, as far as the model's contexts tell fields apart. */
export const FIELD = {
  plain: 0,
  branch: 1,
  page: 2,
  offset: 3,
  shortBranch: 4,
  pointer: 5,
  relative: 6,
} as const;

/** Who made the guess. */
export const GUESS = { exact: 1, word: 2, near: 3, mapped: 4 } as const;
export const GUESSES = 5;

/** A few bytes that change together, with guesses at their new value (little endian). */
export class Field {
  readonly images: Images;
  readonly map: AddressMap;
  readonly spaces: AddressSpaces;
  readonly learned: LearnedMaps;
  readonly guesses = new Int32Array(GUESSES);
  /** Bit g is set where guess g exists and agrees with the bytes so far. */
  valid = 0;
  kind: number = FIELD.plain;
  length = 4;
  /** Where it began in the new image; -1 outside of a field. */
  start = -1;

  constructor(parts: {
    images: Images;
    map: AddressMap;
    spaces: AddressSpaces;
    learned: LearnedMaps;
  }) {
    this.images = parts.images;
    this.map = parts.map;
    this.spaces = parts.spaces;
    this.learned = parts.learned;
  }

  begin(target: number, kind: number, length: number): void {
    this.start = target;
    this.kind = kind;
    this.length = length;
    this.valid = 0;
  }

  guess(which: number, value: number): void {
    this.guesses[which] = value;
    this.valid |= 1 << which;
  }

  sourceByte(position: number): number {
    return this.images.source[position - this.images.sourceBase] as number;
  }

  /** 32 bits without a sign; the caller has made sure that they exist. */
  sourceWord(position: number): number {
    return wordAt(this.images.source, position - this.images.sourceBase);
  }

  targetWord(position: number): number {
    return wordAt(this.images.target, position - this.images.targetBase);
  }

  /** New address for an old one, by the region map, or NOWHERE. */
  translate(address: number, hasSpace: boolean): number {
    return hasSpace ? this.spaces.translate(address) : this.map.map(address);
  }

  /**
   * The three guesses at where an address went; `encode` makes the field's new value of an address,
   * or returns undefined where it cannot hold it.
   */
  guessAddress(
    address: number,
    hasSpace: boolean,
    encode: (address: number) => number | undefined,
  ): void {
    const exact = this.learned.exact.get(address);
    if (exact !== undefined) this.#guessEncoded(GUESS.exact, encode(exact >>> 0));
    const mapped = this.translate(address, hasSpace);
    if (mapped !== NOWHERE) this.#guessEncoded(GUESS.mapped, encode(mapped));
    const shift = this.learned.shiftNear(address);
    if (shift !== undefined) this.#guessEncoded(GUESS.near, encode((address + shift) >>> 0));
  }

  #guessEncoded(which: number, value: number | undefined): void {
    if (value !== undefined) this.guess(which, value);
  }

  /** Remembers where an address really went. */
  learnAddress(from: number, to: number): void {
    this.learned.exact.set(from, to);
    this.learned.learnShift(from, (to - from) | 0);
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}
