import { refusePatch } from "../format.ts";

const SMALLEST_BUFFER_BYTES = 64 * 1024;

/**
 * The patch as it arrives. `fill` awaits until `wanted` bytes are there or the patch has ended, so
 * that the decoder can take them without waiting. Holds twice what is wanted and one chunk.
 */
export class PatchInput {
  readonly #source: AsyncIterator<Uint8Array>;
  #buffer = new Uint8Array(SMALLEST_BUFFER_BYTES);
  #position = 0;
  #end = 0;
  #hasEnded = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async fill(wanted: number): Promise<void> {
    while (!this.#hasEnded && this.#end - this.#position < wanted) {
      const { done, value } = await this.#source.next();
      if (done) this.#hasEnded = true;
      else this.#append(value);
    }
  }

  #append(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#buffer.length) this.#makeRoom(chunk.length);
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  #makeRoom(length: number): void {
    const rest = this.#buffer.subarray(this.#position, this.#end);
    const needed = rest.length + length;
    // At least half of it is free afterwards, so that small chunks are not moved again and again.
    const isTight = 2 * needed > this.#buffer.length;
    const buffer = isTight ? new Uint8Array(2 * needed) : this.#buffer;
    if (isTight) buffer.set(rest);
    else buffer.copyWithin(0, this.#position, this.#end);
    this.#buffer = buffer;
    this.#end = rest.length;
    this.#position = 0;
  }

  next(): number {
    if (this.#position >= this.#end) throw refusePatch("the patch is cut short");
    return this.#buffer[this.#position++] as number;
  }

  /** Up to `length` bytes, without taking them off. */
  peek(length: number): Uint8Array {
    return this.#buffer.subarray(this.#position, Math.min(this.#end, this.#position + length));
  }

  /** Bytes that stay valid until the next `fill`. */
  take(length: number): Uint8Array {
    if (this.#end - this.#position < length) throw refusePatch("the patch is cut short");
    this.#position += length;
    return this.#buffer.subarray(this.#position - length, this.#position);
  }

  /** Nothing may follow what was read. */
  async expectEnd(): Promise<void> {
    await this.fill(1);
    if (this.#end > this.#position) throw refusePatch("something follows the end of the patch");
  }

  /** Nothing more is wanted of the source. */
  async close(): Promise<void> {
    if (!this.#hasEnded) await this.#source.return?.();
  }
}
