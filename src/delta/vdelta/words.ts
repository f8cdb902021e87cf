import { NOWHERE } from "./address-spaces.ts";
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
  readonly #tagged: boolean;
  /** What the two words before changed by: tables of records step alike. */
  constructor(field: Field, tagged: boolean) {
    this.#field = field;
    this.#tagged = tagged;
  }

  begin(source: number, target: number, hasSpace: boolean, kind: number): void {
    const field = this.#field;
    field.begin(target, kind, 4);
    const word = field.sourceWord(source);
    const { learned } = field;
    const same = learned.words.get(word);
    if (same !== undefined) field.guess(GUESS.word, same);
    if (hasSpace && word > SMALLEST_ADDRESS) this.#pointer(word, source, target);
    if (word > SMALLEST_NEIGHBOUR) {
      const shift = learned.shiftNear(word);
      if (shift !== undefined) field.guess(GUESS.near, word + shift);
    }
  }

  #pointer(word: number, source: number, target: number): void {
    const field = this.#field;
    const tag = this.#tagged ? word & 1 : 0;
    const address = word - tag;
    const mapped = field.spaces.translate(address);
    if (mapped !== NOWHERE) {
      if (field.kind === FIELD.plain) field.kind = FIELD.pointer;
      field.guess(GUESS.mapped, mapped + tag);
      const exact = field.learned.exact.get(address);
      if (exact !== undefined) field.guess(GUESS.exact, exact + tag);
      return;
    }
    const goal = (field.spaces.addressOfSource(source) + word) >>> 0;
    const moved = field.spaces.translate(goal);
    if (moved === NOWHERE) return;
    if (field.kind === FIELD.plain) field.kind = FIELD.relative;
    field.guess(GUESS.mapped, moved - field.spaces.addressOfTarget(target));
  }

  learn(source: number, target: number): void {
    const field = this.#field;
    const word = field.sourceWord(source);
    const now = field.targetWord(target);
    if (field.kind === FIELD.pointer) {
      const tag = this.#tagged ? word & 1 : 0;
      field.learned.exact.set(word - tag, now - (this.#tagged ? now & 1 : 0));
    }
    field.learned.words.set(word, now);
    if (word > SMALLEST_NEIGHBOUR) field.learned.learnShift(word, (now - word) | 0);
  }
}
