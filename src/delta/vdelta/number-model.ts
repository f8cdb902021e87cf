import { refusePatch } from "../format.ts";
import type { BinaryCoder } from "./binary-coder.ts";
import { RECIPROCAL } from "./tables.ts";

const MAX_BITS = 32;
const ROW = 1024;
const COUNT_LIMIT = 60;
const MIN_PROBABILITY = 64;

/** Codes whole numbers of up to 32 bits: their length in unary, then their bits; all adaptive. */
export class NumberModel {
  readonly #probabilities: Uint16Array;
  readonly #counts: Uint8Array;

  constructor(rows: number) {
    this.#probabilities = new Uint16Array(rows * ROW).fill(32_768);
    this.#counts = new Uint8Array(rows * ROW);
  }

  code(coder: BinaryCoder, value: number, row: number): number {
    const base = row * ROW;
    const bits = value > 0 ? 32 - Math.clz32(value) : 0;
    let length = 0;
    while (this.#bit(coder, length < bits ? 1 : 0, base + length)) {
      length += 1;
      if (length > MAX_BITS) throw refusePatch("the patch holds an impossible number");
    }
    if (length < 2) return length;
    let result = 1;
    for (let shift = length - 2; shift >= 0; shift--) {
      const depth = length - 2 - shift;
      // The leading bits say something about each other; the others are nearly random.
      const node = depth < 3 ? (1 << depth) + (result & ((1 << depth) - 1)) : 8 + (shift & 7);
      const bit = this.#bit(coder, (value >>> shift) & 1, base + 64 + length * 16 + node);
      result = result * 2 + bit;
    }
    return result;
  }

  #bit(coder: BinaryCoder, bit: number, at: number): number {
    const probability = this.#probabilities[at] as number;
    const used = Math.min(Math.max(probability, MIN_PROBABILITY), 65_536 - MIN_PROBABILITY);
    const coded = coder.code(bit, used);
    const count = this.#counts[at] as number;
    const away = (coded ? 65_535 : 0) - probability;
    this.#probabilities[at] = probability + (Math.imul(away, RECIPROCAL[count] as number) >> 15);
    if (count < COUNT_LIMIT) this.#counts[at] = count + 1;
    return coded;
  }
}

/** 0, -1, 1, -2, 2 ... as 0, 1, 2, 3, 4 ... */
export function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

export function unzigzag(value: number): number {
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}
