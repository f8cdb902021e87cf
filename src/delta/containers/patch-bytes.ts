import { refusePatch } from "../format.ts";

/** A patch as it arrives: its beginning is looked at, the rest passes through. */
export class PatchBytes {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #buffer: Uint8Array = new Uint8Array(0);
  #hasEnded = false;

  constructor(patch: AsyncIterable<Uint8Array>) {
    this.#chunks = patch[Symbol.asyncIterator]();
  }

  /** The next bytes, at most `length`, fewer only at the end. */
  async peek(length: number): Promise<Uint8Array> {
    const parts = [this.#buffer];
    let count = this.#buffer.length;
    while (count < length && !this.#hasEnded) {
      const { done, value } = await this.#chunks.next();
      if (done) this.#hasEnded = true;
      else {
        parts.push(value);
        count += value.length;
      }
    }
    if (parts.length > 1) this.#buffer = new Uint8Array(Buffer.concat(parts));
    return this.#buffer.subarray(0, length);
  }

  async take(length: number): Promise<Uint8Array> {
    const bytes = await this.peek(length);
    if (bytes.length < length) throw refusePatch("the patch is cut short");
    this.#buffer = this.#buffer.subarray(length);
    return bytes;
  }

  async *rest(): AsyncGenerator<Uint8Array> {
    if (this.#buffer.length > 0) yield this.#buffer;
    this.#buffer = new Uint8Array(0);
    while (!this.#hasEnded) {
      const { done, value } = await this.#chunks.next();
      if (done) this.#hasEnded = true;
      else yield value;
    }
  }

  async close(): Promise<void> {
    if (!this.#hasEnded) await this.#chunks.return?.();
  }
}
