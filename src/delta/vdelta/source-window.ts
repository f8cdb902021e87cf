import { type PatchSource, refusePatch } from "../format.ts";
import type { Kernel } from "./kernel.ts";

/** What a guess reads around the byte that it is for. */
const MARGIN_BEFORE = 16;
const MARGIN_BEHIND = 64;
const READ_AHEAD_BYTES = 64 * 1024;
/** Old images of up to this size are read once and kept: of a firmware, regions come from everywhere. */
const KEPT_BYTES = 1024 * 1024;
/** Small regions lie near each other; a read of less costs as much. */
const SMALLEST_READ_BYTES = 8 * 1024;

/** Keeps in the kernel's memory the part of the old image that is being read. */
export class SourceWindow {
  readonly #source: PatchSource;
  readonly #kernel: Kernel;
  readonly #at: number;
  readonly #isKept: boolean;
  #from = 0;
  #to = 0;

  /** To be made before the kernel's memory is committed. */
  constructor(source: PatchSource, kernel: Kernel) {
    this.#source = source;
    this.#kernel = kernel;
    const window = MARGIN_BEFORE + READ_AHEAD_BYTES + MARGIN_BEHIND;
    this.#isKept = source.sizeBytes <= KEPT_BYTES;
    this.#at = kernel.reserve(this.#isKept ? source.sizeBytes : window);
  }

  /**
   * Makes `length` bytes from `position`, up to READ_AHEAD_BYTES, and those around them, readable.
   * Returns nothing where they are already.
   */
  load(position: number, length: number, regionEnd: number): Promise<void> | undefined {
    const from = Math.max(0, position - MARGIN_BEFORE);
    const to = Math.min(this.#source.sizeBytes, position + length + MARGIN_BEHIND);
    if (from >= this.#from && to <= this.#to) return undefined;
    return this.#load(position, from, to, regionEnd);
  }

  async #load(position: number, from: number, to: number, regionEnd: number): Promise<void> {
    const size = this.#source.sizeBytes;
    if (this.#isKept) return this.#keep(0, size);
    // Ahead only as far as this region will need.
    const ahead = Math.max(Math.min(READ_AHEAD_BYTES, regionEnd - position), SMALLEST_READ_BYTES);
    const end = Math.max(to, Math.min(size, position + ahead + MARGIN_BEHIND));
    await this.#keep(from, end);
  }

  async #keep(from: number, to: number): Promise<void> {
    await this.#read(from, to - from);
    this.#from = from;
    this.#to = to;
    this.#kernel.run.setSource(this.#at - from, this.#source.sizeBytes);
    this.#kernel.run.setLoaded(from, to);
  }

  async #read(offset: number, length: number): Promise<void> {
    const room = this.#kernel.bytes.subarray(this.#at, this.#at + length);
    let filled = 0;
    while (filled < length) {
      const rest = room.subarray(filled);
      const chunk = await this.#source.read(offset + filled, rest.length, rest);
      if (chunk.length === 0 || filled + chunk.length > length) {
        throw refusePatch("the source is cut short");
      }
      if (chunk.buffer !== rest.buffer || chunk.byteOffset !== rest.byteOffset) rest.set(chunk);
      filled += chunk.length;
    }
  }
}
