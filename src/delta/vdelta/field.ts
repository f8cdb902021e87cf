import type { AddressSpaces } from "./address-spaces.ts";
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
export const GUESS = { exact: 1, word: 2, near: 3, mapped: 4, far: 5 } as const;
export const GUESSES = 6;

/** A few bytes that change together, with guesses at their new value (little endian). */
export class Field {
  readonly images: Images;
  readonly spaces: AddressSpaces;
  readonly learned: LearnedMaps;
  readonly guesses = new Int32Array(GUESSES);
  /** What `lookUp` found, at the number of the guess. */
  readonly addresses = new Int32Array(GUESSES);
  /** Bit g is set where guess g exists and agrees with the bytes so far. */
  valid = 0;
  /** Whether some guess differs from the old word. */
  isContested = false;
  kind: number = FIELD.plain;
  length = 4;
  /** Its value in the old image; of three bytes, with the byte behind them. */
  word = 0;
  /** Where it began in the new image; -1 outside of a field. */
  start = -1;

  constructor(parts: { images: Images; spaces: AddressSpaces; learned: LearnedMaps }) {
    this.images = parts.images;
    this.spaces = parts.spaces;
    this.learned = parts.learned;
  }

  begin(target: number, kind: number, word: number): void {
    this.start = target;
    this.kind = kind;
    this.length = 4;
    this.word = word;
    this.valid = 0;
    this.isContested = false;
  }

  guess(which: number, value: number): void {
    this.guesses[which] = value;
    this.valid |= 1 << which;
    if (value !== this.word) this.isContested = true;
  }

  /** 32 bits with a sign; the caller has made sure that they exist. */
  sourceWord(position: number): number {
    const { source, sourceBase } = this.images;
    return wordAt(source, position - sourceBase);
  }

  targetWord(position: number): number {
    const { target, targetBase } = this.images;
    return wordAt(target, position - targetBase);
  }

  /** Where an address may have gone: sets `addresses`, returns a bit for each of them. */
  lookUp(address: number): number {
    const { learned, spaces, addresses } = this;
    let found = 0;
    if (learned.exact.look(address)) {
      addresses[GUESS.exact] = learned.exact.value;
      found |= 1 << GUESS.exact;
    }
    if (spaces.translate(address)) {
      addresses[GUESS.mapped] = spaces.translated;
      found |= 1 << GUESS.mapped;
    }
    const near = learned.lookNear(address);
    if (near !== 0) {
      const guess = near === 2 ? GUESS.near : GUESS.far;
      addresses[guess] = address + learned.shift;
      found |= 1 << guess;
    }
    return found;
  }

  /** Remembers where an address really went. */
  learnAddress(from: number, to: number): void {
    this.learned.exact.set(from, to);
    this.learned.learnShift(from, (to - from) | 0);
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}
