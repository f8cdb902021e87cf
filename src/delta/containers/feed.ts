import { refusePatch } from "../format.ts";
import type { Form, Piece } from "./layout.ts";

/**
 * The pieces of an unpacked form, which arrive in the form's order, given out in their natural
 * order. What arrives before its turn is kept; the cuts have been checked to take up each byte once.
 */
export class Feed {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #pieces: readonly Piece[];
  readonly #sizeBytes: number;
  readonly #kept = new Map<number, Uint8Array>();
  #rest: Uint8Array = new Uint8Array(0);
  /** Bytes that have been read of the form, and its piece that is next or under way. */
  #position = 0;
  #next = 0;
  /** Bytes that have been given out. */
  #natural = 0;
  /** Of the piece that is being given out. */
  #left = 0;
  #open: Uint8Array | undefined;

  constructor(chunks: AsyncIterable<Uint8Array>, { sizeBytes, pieces }: Form) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#pieces = pieces;
    this.#sizeBytes = sizeBytes;
  }

  /** The next bytes in the natural order. */
  async *take(sizeBytes: number): AsyncGenerator<Uint8Array> {
    for (let left = sizeBytes; left > 0; ) {
      if (this.#left === 0) await this.#openNext();
      const wanted = Math.min(left, this.#left);
      let chunk: Uint8Array;
      if (this.#open) {
        const from = this.#open.length - this.#left;
        chunk = this.#open.subarray(from, from + wanted);
      } else {
        chunk = await this.#chunk(wanted);
      }
      this.#left -= chunk.length;
      this.#natural += chunk.length;
      left -= chunk.length;
      yield chunk;
    }
  }

  /** Makes the piece that the natural order has next the one that is given out. */
  async #openNext(): Promise<void> {
    this.#open = this.#kept.get(this.#natural);
    if (this.#open) {
      this.#kept.delete(this.#natural);
      this.#left = this.#open.length;
      return;
    }
    for (;;) {
      const piece = this.#pieces[this.#next];
      if (!piece) throw refusePatch("the patch is cut short");
      this.#next += 1;
      await this.#skipPadding(piece.at);
      if (piece.natural === this.#natural) {
        this.#left = piece.length;
        return;
      }
      this.#kept.set(piece.natural, await this.#whole(piece.length));
    }
  }

  async #whole(sizeBytes: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(sizeBytes);
    for (let filled = 0; filled < sizeBytes; ) {
      const chunk = await this.#chunk(sizeBytes - filled);
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
    return bytes;
  }

  async #skipPadding(to: number): Promise<void> {
    while (this.#position < to) {
      const chunk = await this.#chunk(to - this.#position);
      if (chunk.some((byte) => byte !== 0)) throw refusePatch("the patch's padding is not empty");
    }
  }

  /** At most `wanted` bytes of the form, at least one. */
  async #chunk(wanted: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done) throw refusePatch("the patch is cut short");
      this.#rest = value;
    }
    const chunk = this.#rest.subarray(0, wanted);
    this.#rest = this.#rest.subarray(chunk.length);
    this.#position += chunk.length;
    return chunk;
  }

  /** Nothing may be left; what checks the whole at its end has its say. */
  async expectEnd(): Promise<void> {
    await this.#skipPadding(this.#sizeBytes);
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done) return;
      this.#rest = value;
    }
    throw refusePatch("the patch makes too large an image");
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
