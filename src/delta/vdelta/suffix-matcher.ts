import type { Matcher } from "./alignment.ts";
import { suffixArray } from "./suffix-array.ts";

/** Exact: binary search in the old image's suffix array. Five bytes of memory a byte. */
export class SuffixMatcher implements Matcher {
  matchAt = 0;
  matchLength = 0;
  readonly #source: Uint8Array;
  readonly #target: Uint8Array;
  readonly #order: Int32Array<ArrayBuffer>;

  constructor(source: Uint8Array, target: Uint8Array) {
    this.#source = source;
    this.#target = target;
    this.#order = suffixArray(source);
  }

  find(target: number): void {
    const order = this.#order;
    this.matchLength = 0;
    if (order.length === 0) return;
    let low = 0;
    let high = order.length - 1;
    let lowLength = this.#common(order[low] as number, target, 0);
    let highLength = this.#common(order[high] as number, target, 0);
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      const position = order[middle] as number;
      // What both bounds share with the target, everything between them shares too.
      const length = this.#common(position, target, Math.min(lowLength, highLength));
      if (this.#isLess(position, target, length)) {
        low = middle;
        lowLength = length;
      } else {
        high = middle;
        highLength = length;
      }
    }
    const better = highLength >= lowLength;
    this.matchLength = better ? highLength : lowLength;
    this.matchAt = order[better ? high : low] as number;
  }

  release(): void {
    this.#order.buffer.transfer(0);
  }

  #common(source: number, target: number, from: number): number {
    const limit = Math.min(this.#source.length - source, this.#target.length - target);
    let length = from;
    while (length < limit && this.#source[source + length] === this.#target[target + length]) {
      length += 1;
    }
    return length;
  }

  #isLess(source: number, target: number, length: number): boolean {
    if (source + length >= this.#source.length) return true;
    if (target + length >= this.#target.length) return false;
    return (this.#source[source + length] as number) < (this.#target[target + length] as number);
  }
}
