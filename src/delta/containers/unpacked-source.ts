import { type PatchSource, refusePatch } from "../format.ts";
import type { Codec } from "./codec.ts";
import { CODECS } from "./codecs.ts";
import type { Form, Holder, Piece } from "./layout.ts";
import { allStreams, type StreamTree } from "./stream-tree.ts";

/** Contents up to this size come and go; larger ones stay, since unpacking them again is dear. */
const LARGE_CONTENT_BYTES = 1024 * 1024;
/** What small contents may take together. */
const CACHE_BYTES = 8 * 1024 * 1024;
/** Small contents may be unpacked again until this many times the whole has been. */
const MAX_ROUNDS = 64;
const MIN_WORK_BYTES = 256 * 1024 * 1024;

/** The unpacked form of an image, read at random; what is packed is unpacked when it is asked for. */
export class UnpackedSource implements PatchSource {
  readonly sizeBytes: number;
  readonly #image: PatchSource;
  readonly #pieces: readonly Piece[];
  /** Insertion order is the order of use, the latest last. */
  readonly #contents = new Map<StreamTree, Uint8Array>();
  #cachedBytes = 0;
  #workLeft: number;

  constructor(image: PatchSource, { sizeBytes, pieces }: Form) {
    this.#image = image;
    this.#pieces = pieces;
    this.sizeBytes = sizeBytes;
    this.#workLeft = Math.max(MIN_WORK_BYTES, MAX_ROUNDS * sizeBytes);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const end = Math.min(offset + length, this.sizeBytes);
    // Zeros stay where no piece lies.
    const bytes = new Uint8Array(Math.max(0, end - offset));
    for (let index = this.#pieceAt(offset); ; index++) {
      const piece = this.#pieces[index];
      if (!piece || piece.at >= end) return bytes;
      const from = Math.max(offset, piece.at);
      const count = Math.min(end, piece.at + piece.length) - from;
      if (count <= 0) continue;
      const held = piece.offset + from - piece.at;
      bytes.set(await this.#readIn(piece.holder, held, count), from - offset);
    }
  }

  /** The last piece that begins at or before `offset`. */
  #pieceAt(offset: number): number {
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#pieces[middle] as Piece).at <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async #readIn(holder: Holder | undefined, offset: number, length: number): Promise<Uint8Array> {
    if (holder) return (await this.#content(holder)).subarray(offset, offset + length);
    const bytes = new Uint8Array(length);
    for (let filled = 0; filled < length; ) {
      const chunk = await this.#image.read(offset + filled, length - filled);
      if (chunk.length === 0 || chunk.length > length - filled) {
        throw refusePatch("the source is cut short");
      }
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
    return bytes;
  }

  async #content({ stream, holder }: Holder): Promise<Uint8Array> {
    const known = this.#contents.get(stream);
    if (known) {
      this.#contents.delete(stream);
      this.#contents.set(stream, known);
      return known;
    }
    this.#workLeft -= stream.contentBytes;
    if (this.#workLeft < 0) throw refusePatch("the patch goes back and forth too much");
    const packed = await this.#readIn(holder, stream.offset, stream.packedBytes);
    const content = (CODECS[stream.codec] as Codec).unpack(packed, stream.contentBytes);
    this.#contents.set(stream, content);
    if (!isLarge(stream)) {
      this.#cachedBytes += content.length;
      this.#makeRoom();
    }
    return content;
  }

  #makeRoom(): void {
    for (const [stream, content] of this.#contents) {
      if (this.#cachedBytes <= CACHE_BYTES) return;
      if (isLarge(stream)) continue;
      this.#contents.delete(stream);
      this.#cachedBytes -= content.length;
    }
  }
}

function isLarge(stream: StreamTree): boolean {
  return stream.contentBytes > LARGE_CONTENT_BYTES;
}

/** Bytes that reading the unpacked form holds at most. */
export function memoryToRead(streams: readonly StreamTree[]): number {
  let large = 0;
  let small = 0;
  let largestPacked = 0;
  for (const stream of allStreams(streams)) {
    if (isLarge(stream)) large += stream.contentBytes;
    else small += stream.contentBytes;
    largestPacked = Math.max(largestPacked, stream.packedBytes);
  }
  return large + Math.min(small, CACHE_BYTES + LARGE_CONTENT_BYTES) + largestPacked;
}
