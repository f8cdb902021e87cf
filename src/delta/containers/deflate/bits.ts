import { refusePatch } from "../../format.ts";

/** Bits as deflate packs them: the lowest of each byte first. */
export class BitReader {
  readonly #bytes: Uint8Array;
  #byte: number;
  #held = 0;
  #count = 0;

  constructor(bytes: Uint8Array, from: number) {
    this.#bytes = bytes;
    this.#byte = from;
  }

  /** Bits that were read, from the beginning of the bytes. */
  get position(): number {
    return 8 * this.#byte - this.#count;
  }

  bits(count: number): number {
    while (this.#count < count) {
      if (this.#byte >= this.#bytes.length) throw refusePatch("a deflate stream is cut short");
      this.#held |= (this.#bytes[this.#byte++] as number) << this.#count;
      this.#count += 8;
    }
    const value = this.#held & ((1 << count) - 1);
    this.#held >>>= count;
    this.#count -= count;
    return value;
  }

  /** Up to 15 bits without taking them; zeros behind the end. */
  peek(): number {
    while (this.#count < 15 && this.#byte < this.#bytes.length) {
      this.#held |= (this.#bytes[this.#byte++] as number) << this.#count;
      this.#count += 8;
    }
    return this.#held & 0x7fff;
  }

  skip(count: number): void {
    if (count > this.#count) throw refusePatch("a deflate stream is cut short");
    this.#held >>>= count;
    this.#count -= count;
  }

  /** The bits up to the next whole byte. */
  align(): number {
    return this.bits(this.#count & 7);
  }

  /** Whole bytes from a whole byte on. */
  bytes(count: number): Uint8Array {
    this.#byte -= this.#count >> 3;
    this.#held = 0;
    this.#count = 0;
    if (this.#byte + count > this.#bytes.length) throw refusePatch("a deflate stream is cut short");
    this.#byte += count;
    return this.#bytes.subarray(this.#byte - count, this.#byte);
  }
}

const CHUNK_BYTES = 64 * 1024;

export class BitWriter {
  #chunk = new Uint8Array(CHUNK_BYTES);
  #length = 0;
  #held = 0;
  #count = 0;
  readonly #full: Uint8Array[] = [];

  bits(value: number, count: number): void {
    this.#held |= value << this.#count;
    this.#count += count;
    while (this.#count >= 8) {
      this.#byte(this.#held & 0xff);
      this.#held >>>= 8;
      this.#count -= 8;
    }
  }

  align(): void {
    if (this.#count > 0) this.bits(0, 8 - this.#count);
  }

  bytes(values: Uint8Array): void {
    for (const value of values) this.#byte(value);
  }

  /** What is complete since the last call. */
  takeChunks(): Uint8Array[] {
    return this.#full.splice(0);
  }

  finish(): Uint8Array[] {
    this.align();
    return [...this.takeChunks(), this.#chunk.subarray(0, this.#length)];
  }

  #byte(value: number): void {
    if (this.#length === CHUNK_BYTES) {
      this.#full.push(this.#chunk);
      this.#chunk = new Uint8Array(CHUNK_BYTES);
      this.#length = 0;
    }
    this.#chunk[this.#length++] = value;
  }
}
