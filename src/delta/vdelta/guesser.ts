import { FIELD, type Field, GUESSES } from "./field.ts";
import { type Architecture, instructionsOf } from "./instructions/index.ts";
import type { Instructions } from "./instructions/instructions.ts";
import { Words } from "./words.ts";

const OFFSETS = 4;
const KINDS = 8;
const ROW = KINDS * OFFSETS;
const RELIABILITY_SHIFT = 6;
const INITIAL_SOURCE = 32_768;
const INITIAL_GUESS = 40_000;

/**
 * Guesses each byte of a region: the old byte, or what a field's guesses make of it. Which guess is
 * taken follows from how often each was right for this kind of field and this byte of it.
 */
export class Guesser {
  readonly field: Field;
  readonly #instructions: Instructions;
  readonly #words: Words;
  readonly #reliability = new Int32Array(GUESSES * ROW);
  #isInstruction = false;

  /** The results of `guess`. */
  sourceByte = 0;
  pick = 0;
  /** Which guess was picked; 0 is the old byte. */
  picked = 0;
  /** The best of the guesses that disagree with `pick`, or -1. */
  alternative = -1;
  /** Bit g: guess g agrees with `pick`; bit 0: the old byte does. */
  agreeing = 1;
  /** How reliable `pick` and `alternative` are, 0 to 65535. */
  pickReliability = 0;
  alternativeReliability = 0;
  /** 4 * kind of the field + byte within it. */
  place = 0;

  constructor(architecture: Architecture, field: Field) {
    this.field = field;
    this.#instructions = instructionsOf(architecture, field);
    this.#words = new Words(field, this.#instructions.taggedAddresses);
    this.#reliability.fill(INITIAL_GUESS);
    this.#reliability.fill(INITIAL_SOURCE, 0, ROW);
  }

  /** A region begins: fields do not reach over its edges. */
  enter(source: number): void {
    this.field.start = -1;
    this.#instructions.enter(source);
  }

  guess(source: number, target: number): void {
    this.#begin(source, target);
    this.choose(source, target);
  }

  /**
   * Where a word begins and no field is open: true if all guesses at its four bytes are the old ones
   * and no other field can begin in them. Otherwise `choose` comes next, in place of `guess`.
   */
  guessWord(source: number, target: number): boolean {
    const { field } = this;
    this.#begin(source, target);
    return (
      field.length === 4 &&
      !field.isContested &&
      field.spaces.holds(source + 3) &&
      !this.#instructions.mayBeginWithin(source)
    );
  }

  /** In place of four times `learn`, after `guessWord` was true and right. */
  learnWord(source: number): void {
    const { field } = this;
    if (this.#isInstruction) this.#instructions.learn(source, field.start);
    else this.#words.keep();
    field.start = -1;
  }

  #begin(source: number, target: number): void {
    const { field } = this;
    const hasSpace = field.spaces.enter(source);
    const within = field.start < 0 ? -1 : target - field.start;
    if (this.#instructions.begin(source, target, within, hasSpace)) this.#isInstruction = true;
    else if (within < 0 && (source & 3) === 0 && source + 4 <= field.images.sourceSize) {
      this.#isInstruction = false;
      const kind = this.#instructions.kindOfWord(source);
      this.#words.begin(source, target, hasSpace, kind);
    }
  }

  /** Sets the results of `guess` for a byte that may lie in the open field. */
  choose(source: number, target: number): void {
    const { field } = this;
    const inField = field.start >= 0;
    const offset = inField ? target - field.start : 0;
    const place = ((inField ? field.kind : FIELD.plain) << 2) | offset;
    const reliability = this.#reliability;
    const { images } = field;
    const sourceByte = images.source[source - images.sourceBase] as number;
    let pick = sourceByte;
    let picked = 0;
    let best = reliability[place] as number;
    let agreeing = 1;
    let alternative = -1;
    let second = 0;
    if (inField && !field.isContested) agreeing |= field.valid;
    else if (inField) {
      for (let guess = 1; guess < GUESSES; guess++) {
        if ((field.valid & (1 << guess)) === 0) continue;
        const byte = ((field.guesses[guess] as number) >>> (8 * offset)) & 0xff;
        const share = reliability[guess * ROW + place] as number;
        if (byte === pick) {
          agreeing |= 1 << guess;
          if (share > best) best = share;
        } else if (share > best) {
          alternative = pick;
          second = best;
          pick = byte;
          picked = guess;
          best = share;
          agreeing = 1 << guess;
        } else if (share > second) {
          alternative = byte;
          second = share;
        }
      }
    }
    if (pick === sourceByte) agreeing |= 1;
    this.sourceByte = sourceByte;
    this.pick = pick;
    this.picked = picked;
    this.alternative = alternative;
    this.agreeing = agreeing;
    this.pickReliability = best;
    this.alternativeReliability = second;
    this.place = place;
  }

  /** Learns from the byte that really stands there. */
  learn(source: number, target: number, byte: number): void {
    const { field, place } = this;
    const reliability = this.#reliability;
    if (field.start < 0) return;
    const offset = target - field.start;
    if (!field.isContested) {
      if (byte !== this.sourceByte) field.valid = 0;
    } else {
      weigh(reliability, place, byte === this.sourceByte);
      for (let guess = 1; guess < GUESSES; guess++) {
        if ((field.valid & (1 << guess)) === 0) continue;
        const guessed = ((field.guesses[guess] as number) >>> (8 * offset)) & 0xff;
        weigh(reliability, guess * ROW + place, guessed === byte);
        // A guess that was wrong about one byte knows nothing of the next.
        if (guessed !== byte) field.valid &= ~(1 << guess);
      }
    }
    if (offset + 1 < field.length) return;
    const began = source - offset;
    if (this.#isInstruction) this.#instructions.learn(began, field.start);
    else this.#words.learn(field.start);
    field.start = -1;
  }
}

function weigh(reliability: Int32Array, at: number, wasRight: boolean): void {
  const now = reliability[at] as number;
  reliability[at] = now + (((wasRight ? 65535 : 0) - now) >> RELIABILITY_SHIFT);
}
