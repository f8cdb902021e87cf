import type { Matcher } from "./alignment.ts";

const SEED_BYTES = 12;
const MAX_CHAIN = 12;
/** A match of this length needs no better one. */
const GOOD_ENOUGH_BYTES = 512;

/**
 * For images too large to sort: seeds of twelve bytes at every `stride`-th place of the old image,
 * in a hash table with short chains. At most 8 / stride + 1 bytes of memory a byte.
 */
export class HashMatcher implements Matcher {
  matchAt = 0;
  matchLength = 0;
  readonly #source: Uint8Array;
  readonly #target: Uint8Array;
  readonly #heads: Int32Array<ArrayBuffer>;
  readonly #previous: Int32Array<ArrayBuffer>;
  readonly #stride: number;
  readonly #shift: number;
  #lastShift = 0;

  constructor(source: Uint8Array, target: Uint8Array, stride: number) {
    this.#source = source;
    this.#target = target;
    this.#stride = stride;
    const places = Math.max(1, Math.ceil(source.length / stride));
    const bits = Math.min(24, Math.max(8, 32 - Math.clz32(places - 1)));
    this.#shift = 32 - bits;
    this.#heads = new Int32Array(2 ** bits).fill(-1);
    this.#previous = new Int32Array(places).fill(-1);
    for (let place = 0; place * stride + SEED_BYTES <= source.length; place++) {
      const slot = this.#hash(source, place * stride);
      this.#previous[place] = this.#heads[slot] as number;
      this.#heads[slot] = place;
    }
  }

  find(target: number): void {
    this.matchLength = 0;
    this.#try(target + this.#lastShift, target);
    if (this.matchLength < GOOD_ENOUGH_BYTES && target + SEED_BYTES <= this.#target.length) {
      let place = this.#heads[this.#hash(this.#target, target)] as number;
      for (let tried = 0; place >= 0 && tried < MAX_CHAIN; tried++) {
        this.#try(place * this.#stride, target);
        if (this.matchLength >= GOOD_ENOUGH_BYTES) break;
        place = this.#previous[place] as number;
      }
    }
    if (this.matchLength > 0) this.#lastShift = this.matchAt - target;
  }

  release(): void {
    this.#heads.buffer.transfer(0);
    this.#previous.buffer.transfer(0);
  }

  #try(source: number, target: number): void {
    if (source < 0 || source >= this.#source.length) return;
    const limit = Math.min(this.#source.length - source, this.#target.length - target);
    let length = 0;
    while (length < limit && this.#source[source + length] === this.#target[target + length]) {
      length += 1;
    }
    if (length <= this.matchLength) return;
    this.matchLength = length;
    this.matchAt = source;
  }

  #hash(bytes: Uint8Array, at: number): number {
    let hash = 0;
    for (let index = 0; index < SEED_BYTES; index += 4) {
      const word =
        (bytes[at + index] as number) |
        ((bytes[at + index + 1] as number) << 8) |
        ((bytes[at + index + 2] as number) << 16) |
        ((bytes[at + index + 3] as number) << 24);
      hash = Math.imul(hash ^ word, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return Math.imul(hash, 0x85ebca6b) >>> this.#shift;
  }
}
