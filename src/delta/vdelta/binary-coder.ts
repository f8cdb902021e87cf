/**
 * One binary decision after another, by a carry-less range coder of 32 bits: the same model runs in
 * both directions. `p1` is the probability of a one in 1/65536, 1 to 65535.
 */
export interface BinaryCoder {
  code(bit: number, p1: number): number;
}

export class BinaryEncoder implements BinaryCoder {
  #low = 0;
  #high = 0xffffffff;
  #bytes = new Uint8Array(1 << 16);
  #length = 0;

  code(bit: number, p1: number): number {
    const range = this.#high - this.#low;
    const middle = this.#low + (range >>> 16) * p1 + (((range & 0xffff) * p1) >>> 16);
    if (bit) this.#high = middle;
    else this.#low = middle + 1;
    while (((this.#low ^ this.#high) & 0xff000000) === 0) {
      this.#put(this.#high >>> 24);
      this.#low = (this.#low << 8) >>> 0;
      this.#high = ((this.#high << 8) | 0xff) >>> 0;
    }
    return bit;
  }

  get length(): number {
    return this.#length;
  }

  finish(): Uint8Array {
    for (let shift = 24; shift >= 0; shift -= 8) this.#put((this.#low >>> shift) & 0xff);
    return this.#bytes.slice(0, this.#length);
  }

  #put(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#length++] = byte;
  }
}

/** The decoder begins with the first four bytes, and the encoder ends with as many. */
const PRELOAD_BYTES = 4;

/** Reads from a buffer that the owner fills between steps; see `PatchInput`. */
export class BinaryDecoder implements BinaryCoder {
  readonly #input: { next(): number };
  #low = 0;
  #high = 0xffffffff;
  #value = 0;

  constructor(input: { next(): number }) {
    this.#input = input;
    for (let index = 0; index < PRELOAD_BYTES; index++) {
      this.#value = ((this.#value << 8) | input.next()) >>> 0;
    }
  }

  code(_bit: number, p1: number): number {
    const range = this.#high - this.#low;
    const middle = this.#low + (range >>> 16) * p1 + (((range & 0xffff) * p1) >>> 16);
    const bit = this.#value <= middle ? 1 : 0;
    if (bit) this.#high = middle;
    else this.#low = middle + 1;
    while (((this.#low ^ this.#high) & 0xff000000) === 0) {
      this.#value = ((this.#value << 8) | this.#input.next()) >>> 0;
      this.#low = (this.#low << 8) >>> 0;
      this.#high = ((this.#high << 8) | 0xff) >>> 0;
    }
    return bit;
  }
}
