import { FIELD, type Field, GUESS } from "./field.ts";

/** Smaller words are counts and flags, not addresses. */
const SMALLEST_ADDRESS = 0x40;
const SMALLEST_NEIGHBOUR = 0x400;

/**
 * Aligned words of data: pointers into the module, distances to places in it, and values that are
 * seen to change alike. `tagged` addresses carry a mode in their lowest bit (Thumb).
 */
export class Words {
  readonly #field: Field;
  readonly #tagMask: number;

  constructor(field: Field, tagged: boolean) {
    this.#field = field;
    this.#tagMask = tagged ? 1 : 0;
  }

  begin(source: number, target: number, hasSpace: boolean, kind: number): void {
    const field = this.#field;
    const word = field.sourceWord(source);
    field.begin(target, kind, word);
    const { learned } = field;
    if (learned.words.look(word)) field.guess(GUESS.word, learned.words.value);
    const value = word >>> 0;
    if (hasSpace && value > SMALLEST_ADDRESS) this.#pointer(word, source, target);
    if (value <= SMALLEST_NEIGHBOUR) return;
    const near = learned.lookNear(word);
    if (near !== 0) {
      field.guess(near === 2 ? GUESS.near : GUESS.far, (word + learned.shift) | 0);
    }
  }

  #pointer(word: number, source: number, target: number): void {
    const field = this.#field;
    const { spaces, learned } = field;
    const tag = word & this.#tagMask;
    const address = word - tag;
    if (spaces.translate(address)) {
      if (field.kind === FIELD.plain) field.kind = FIELD.pointer;
      field.guess(GUESS.mapped, (spaces.translated + tag) | 0);
      if (learned.exact.look(address)) field.guess(GUESS.exact, (learned.exact.value + tag) | 0);
      return;
    }
    if (!spaces.translate((spaces.addressOfSource(source) + word) | 0)) return;
    if (field.kind === FIELD.plain) field.kind = FIELD.relative;
    field.guess(GUESS.mapped, (spaces.translated - spaces.addressOfTarget(target)) | 0);
  }

  /** Learns that the word stayed what it was. */
  keep(): void {
    const { word, kind, valid, learned } = this.#field;
    if (kind === FIELD.pointer) {
      const address = word - (word & this.#tagMask);
      learned.exact.set(address, address);
    }
    if ((valid & (1 << GUESS.word)) === 0) learned.words.set(word, word);
    if (word >>> 0 > SMALLEST_NEIGHBOUR) learned.learnShift(word, 0);
  }

  learn(target: number): void {
    const field = this.#field;
    const { word, learned } = field;
    const now = field.targetWord(target);
    if (field.kind === FIELD.pointer) {
      learned.exact.set(word - (word & this.#tagMask), now - (now & this.#tagMask));
    }
    // What is known already need not be written again.
    if (now !== word || (field.valid & (1 << GUESS.word)) === 0) learned.words.set(word, now);
    if (word >>> 0 > SMALLEST_NEIGHBOUR) learned.learnShift(word, (now - word) | 0);
  }
}
