import { refusePatch } from "../format.ts";

const MAX_VARINT_BYTES = 7;

/** What a ByteWriter wrote; whatever is too large or not there is refused. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get position(): number {
    return this.#position;
  }

  get isAtEnd(): boolean {
    return this.#position === this.#bytes.length;
  }

  byte(): number {
    if (this.#position >= this.#bytes.length) throw refusePatch("the patch is cut short");
    return this.#bytes[this.#position++] as number;
  }

  bytes(count: number): Uint8Array {
    if (count > this.#bytes.length - this.#position) throw refusePatch("the patch is cut short");
    this.#position += count;
    return this.#bytes.subarray(this.#position - count, this.#position);
  }

  varint(max: number): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < MAX_VARINT_BYTES; count++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > max) throw refusePatch("the patch holds a number that is too large");
        return value;
      }
      scale *= 0x80;
    }
    throw refusePatch("the patch holds a number that is too long");
  }

  counted(max: number): Uint8Array {
    return this.bytes(this.varint(max));
  }

  expectEnd(): void {
    if (!this.isAtEnd) throw refusePatch("the patch holds more than it announces");
  }
}
