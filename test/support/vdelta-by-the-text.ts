// A second applier of vdelta, written from docs/protocol/vdelta.md alone, to show that the text is enough. It
// shares nothing with src/delta, is slow and keeps both images whole. Processors: none and Thumb.
import type { Head, Space, Step } from "./vdelta-by-the-text-head.ts";

const imul = Math.imul;
const NONE = -1;

/** "Learned maps": one table. */
class Learned {
  readonly #keys: Int32Array;
  readonly #values: Int32Array;
  constructor(bits: number) {
    this.#keys = new Int32Array(1 << bits);
    this.#values = new Int32Array(1 << bits);
  }
  #at(key: number): number {
    const h = imul(key ^ (key >>> 15), 0x9e3779b1);
    return (h ^ (h >>> 14)) & (this.#keys.length - 1);
  }
  look(key: number): number | undefined {
    const at = this.#at(key | 0);
    return this.#keys[at] === (key | 0) ? this.#values[at] : undefined;
  }
  set(key: number, value: number): void {
    const at = this.#at(key | 0);
    this.#keys[at] = key;
    this.#values[at] = value;
  }
}

const [PLAIN, BRANCH, POINTER, RELATIVE] = [0, 1, 5, 6];
const [EXACT, WORD, NEAR, MAPPED, FAR] = [1, 2, 3, 4, 5];

interface Field {
  kind: number;
  start: number;
  source: number;
  word: number;
  guesses: Map<number, number>;
  isContested: boolean;
  isInstruction: boolean;
}

/** What is guessed of a byte. */
export interface Choice {
  pick: number;
  picked: number;
  best: number;
  agreeing: number;
  alternative: number;
  second: number;
  place: number;
}

/** "Fields and guesses", with the maps that they use. */
class Guesser {
  readonly #head: Head;
  readonly #old: Buffer;
  readonly #new: Buffer;
  readonly #regions: { source: number; target: number; length: number }[];
  readonly #words: Learned;
  readonly #exact: Learned;
  readonly #shifts: Learned;
  readonly #reliability: number[][];
  #field: Field | undefined;
  #space: Space | undefined;

  constructor(head: Head, old: Buffer, made: Buffer, steps: readonly Step[], bits: number) {
    this.#head = head;
    this.#old = old;
    this.#new = made;
    [this.#words, this.#exact, this.#shifts] = [0, 1, 2].map(() => new Learned(bits)) as [
      Learned,
      Learned,
      Learned,
    ];
    this.#reliability = [0, 1, 2, 3, 4, 5].map((g) => new Array(32).fill(g === 0 ? 32768 : 40000));
    this.#regions = placed(steps)
      .filter(({ length }) => length > 0)
      .sort((a, b) => a.source - b.source);
  }

  enterRegion(): void {
    this.#field = undefined;
  }

  /** "Address map". */
  #map(place: number): number {
    const regions = this.#regions;
    let i = -1;
    while (i + 1 < regions.length && (regions[i + 1]?.source ?? 0) <= place) i++;
    if (i < 0) return place;
    let found: (typeof regions)[number] | undefined;
    for (let index = i; index >= Math.max(0, i - 4); index--) {
      const region = regions[index] as (typeof regions)[number];
      const holds = place < region.source + region.length;
      if (holds && (!found || region.length > found.length)) found = region;
    }
    const last = regions[i] as (typeof regions)[number];
    if (found) return found.target + place - found.source;
    const next = regions[i + 1];
    if (next && place - (last.source + last.length) > next.source - place) {
      return next.target - (next.source - place);
    }
    return last.target + place - last.source;
  }

  #addressOfSource(x: number): number {
    const s = this.#space;
    return (s ? x - s.source + s.sourceAddress : x) | 0;
  }

  #addressOfTarget(x: number): number {
    const s = this.#space;
    return (s ? x - s.target + s.targetAddress : x) | 0;
  }

  #translate(address: number): number | undefined {
    if (!this.#space) return this.#map(address | 0) | 0;
    for (const space of this.#head.spaces) {
      const within = (address - space.sourceAddress) >>> 0;
      if (space.module !== this.#space.module || within >= space.length) continue;
      return (this.#map(space.source + within) - space.target + space.targetAddress) | 0;
    }
    return undefined;
  }

  #near(a: number): { guess: number; shift: number } | undefined {
    const widest = this.#shifts.look((a >>> 14) ^ 0x0abcdef1);
    if (widest === undefined) return undefined;
    const near = this.#shifts.look((a >>> 5) ^ 0x01234567);
    if (near !== undefined) return { guess: NEAR, shift: near };
    const wider = this.#shifts.look((a >>> 9) ^ 0x07654321);
    if (wider !== undefined) return { guess: NEAR, shift: wider };
    return { guess: FAR, shift: widest };
  }

  #learnShift(a: number, s: number): void {
    if (s <= -(2 ** 20) || s >= 2 ** 20) return;
    if (s === 0 && this.#shifts.look((a >>> 14) ^ 0x0abcdef1) === undefined) return;
    this.#shifts.set((a >>> 5) ^ 0x01234567, s);
    this.#shifts.set((a >>> 9) ^ 0x07654321, s);
    this.#shifts.set((a >>> 14) ^ 0x0abcdef1, s);
  }

  #begin(source: number, target: number): void {
    this.#space = this.#head.spaces.find((s) => source >= s.source && source < s.source + s.length);
    if (source + 4 > this.#old.length) return;
    if (this.#beginThumb(source, target)) return;
    if (!this.#field && source % 4 === 0) this.#beginWord(source, target);
  }

  #beginThumb(source: number, target: number): boolean {
    if (!this.#head.isThumb || source % 2 === 1) return false;
    const open = this.#field;
    if (open && !(target - open.start === 2 && open.kind !== BRANCH)) return false;
    const w = this.#old.readInt32LE(source);
    if (!isThumbBranch(w)) return false;
    const g = (this.#addressOfSource(source) + 4 + thumbOffset(w)) | 0;
    const field = this.#open(BRANCH, source, target, w, true);
    const found = new Map<number, number | undefined>();
    found.set(EXACT, this.#exact.look(g));
    found.set(MAPPED, this.#translate(g));
    const near = this.#near(g);
    if (near) found.set(near.guess, (g + near.shift) | 0);
    for (const [which, a] of found) {
      if (a === undefined) continue;
      this.#guess(field, which, withThumbOffset(w, (a - this.#addressOfTarget(target) - 4) | 0));
    }
    return true;
  }

  #open(kind: number, source: number, start: number, word: number, isInstruction: boolean): Field {
    const guesses = new Map<number, number>();
    this.#field = { kind, start, source, word, guesses, isContested: false, isInstruction };
    return this.#field;
  }

  #guess(field: Field, which: number, value: number): void {
    field.guesses.set(which, value | 0);
    if ((value | 0) !== field.word) field.isContested = true;
  }

  #beginWord(source: number, target: number): void {
    const w = this.#old.readInt32LE(source);
    const v = w >>> 0;
    const field = this.#open(PLAIN, source, target, w, false);
    const known = this.#words.look(w);
    if (known !== undefined) this.#guess(field, WORD, known);
    if (this.#space && v > 64) {
      const t = w & (this.#head.isThumb ? 1 : 0);
      const there = this.#translate(w - t);
      if (there !== undefined) {
        field.kind = POINTER;
        this.#guess(field, MAPPED, there + t);
        const exact = this.#exact.look(w - t);
        if (exact !== undefined) this.#guess(field, EXACT, exact + t);
      } else {
        const relative = this.#translate((this.#addressOfSource(source) + w) | 0);
        if (relative !== undefined) {
          field.kind = RELATIVE;
          this.#guess(field, MAPPED, relative - this.#addressOfTarget(target));
        }
      }
    }
    const near = v > 1024 ? this.#near(w) : undefined;
    if (near) this.#guess(field, near.guess, w + near.shift);
  }

  /** "Choice". */
  choose(source: number, target: number): Choice {
    this.#begin(source, target);
    const field = this.#field;
    const offset = field ? target - field.start : 0;
    const place = 4 * (field?.kind ?? PLAIN) + offset;
    const old = this.#old[source] as number;
    const result = { pick: old, picked: 0, best: this.#reliability[0]?.[place] as number };
    const choice = { ...result, agreeing: 1, alternative: NONE, second: 0, place };
    if (!field) return choice;
    if (!field.isContested) for (const g of field.guesses.keys()) choice.agreeing |= 1 << g;
    for (let g = 1; g <= 5 && field.isContested; g++) {
      const word = field.guesses.get(g);
      if (word !== undefined) this.#consider(choice, g, (word >>> (8 * offset)) & 255);
    }
    if (choice.pick === old) choice.agreeing |= 1;
    return choice;
  }

  #consider(choice: Choice, g: number, byte: number): void {
    const share = this.#reliability[g]?.[choice.place] as number;
    if (byte === choice.pick) {
      choice.agreeing |= 1 << g;
      choice.best = Math.max(choice.best, share);
    } else if (share > choice.best) {
      choice.alternative = choice.pick;
      choice.second = choice.best;
      choice.pick = byte;
      choice.picked = g;
      choice.best = share;
      choice.agreeing = 1 << g;
    } else if (share > choice.second) {
      choice.alternative = byte;
      choice.second = share;
    }
  }

  /** "After the byte". */
  learn(source: number, target: number, place: number): void {
    const field = this.#field;
    if (!field) return;
    const offset = target - field.start;
    const byte = this.#new[target] as number;
    const isOld = byte === this.#old[source];
    if (!field.isContested) {
      if (!isOld) field.guesses.clear();
    } else {
      this.#weigh(0, place, isOld);
      for (const [g, word] of [...field.guesses]) {
        const isRight = ((word >>> (8 * offset)) & 255) === byte;
        this.#weigh(g, place, isRight);
        if (!isRight) field.guesses.delete(g);
      }
    }
    if (offset < 3) return;
    if (field.isInstruction) this.#learnThumb(field);
    else this.#learnWord(field);
    this.#field = undefined;
  }

  #weigh(g: number, place: number, isRight: boolean): void {
    const row = this.#reliability[g] as number[];
    row[place] = (row[place] as number) + (((isRight ? 65535 : 0) - (row[place] as number)) >> 6);
  }

  #learnThumb({ word, source, start }: Field): void {
    const n = this.#new.readInt32LE(start);
    if (!isThumbBranch(n)) return;
    const g = (this.#addressOfSource(source) + 4 + thumbOffset(word)) | 0;
    this.#exact.set(g, (this.#addressOfTarget(start) + 4 + thumbOffset(n)) | 0);
  }

  #learnWord({ word, start, kind, guesses }: Field): void {
    const n = this.#new.readInt32LE(start);
    const tag = this.#head.isThumb ? 1 : 0;
    if (kind === POINTER) this.#exact.set(word - (word & tag), n - (n & tag));
    if (!(n === word && guesses.has(WORD))) this.#words.set(word, n);
    if (word >>> 0 > 1024) this.#learnShift(word, (n - word) | 0);
  }
}

function isThumbBranch(w: number): boolean {
  if ((w & 0xf800) !== 0xf000) return false;
  return [0xd000, 0xc000, 0x9000].includes((w >>> 16) & 0xd000);
}

function thumbOffset(w: number): number {
  const s = (w >>> 10) & 1;
  const i1 = ((w >>> 29) & 1) ^ s ^ 1;
  const i2 = ((w >>> 27) & 1) ^ s ^ 1;
  const low = ((w & 0x3ff) << 12) | (((w >>> 16) & 0x7ff) << 1);
  return ((i1 << 23) | (i2 << 22) | low) - (s << 24);
}

function withThumbOffset(w: number, offset: number): number {
  const s = offset < 0 ? 1 : 0;
  const j1 = ((offset >>> 23) & 1) ^ s ^ 1;
  const j2 = ((offset >>> 22) & 1) ^ s ^ 1;
  const upper = (j1 << 29) | (j2 << 27) | (((offset >>> 1) & 0x7ff) << 16);
  return (w & ~0x2fff07ff) | upper | (s << 10) | ((offset >>> 12) & 0x3ff);
}

function placed(steps: readonly Step[]): { source: number; target: number; length: number }[] {
  let [source, target] = [0, 0];
  return steps.map(({ copied, literals, seek }) => {
    const region = { source, target, length: copied };
    source += copied + seek;
    target += copied + literals;
    return region;
  });
}

export { Guesser, placed };
