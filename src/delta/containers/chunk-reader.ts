import { refusePatch } from "../format.ts";

/** Bytes that arrive in any chunks, taken in the sizes that are wanted. */
export class ChunkReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  async take(sizeBytes: number): Promise<Uint8Array> {
    if (this.#rest.length < sizeBytes) await this.#gather(sizeBytes);
    const taken = this.#rest.subarray(0, sizeBytes);
    this.#rest = this.#rest.subarray(sizeBytes);
    return taken;
  }

  async #gather(sizeBytes: number): Promise<void> {
    const parts = [this.#rest];
    let count = this.#rest.length;
    while (count < sizeBytes) {
      const { done, value } = await this.#chunks.next();
      if (done) throw refusePatch("a stream takes more content than there is");
      parts.push(value);
      count += value.length;
    }
    this.#rest = new Uint8Array(Buffer.concat(parts));
  }
}
