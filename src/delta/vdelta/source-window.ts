import { type PatchSource, refusePatch } from "../format.ts";
import type { Images } from "./field.ts";

/** What a guess reads around the byte that it is for. */
const MARGIN_BEFORE = 16;
const MARGIN_BEHIND = 64;
const READ_AHEAD_BYTES = 64 * 1024;
/** Small regions lie near each other; a read of less costs as much. */
const SMALLEST_READ_BYTES = 8 * 1024;

/** Keeps in memory the part of the old image that is being read. */
export class SourceWindow {
  readonly #source: PatchSource;
  readonly #images: Images;

  constructor(source: PatchSource, images: Images) {
    this.#source = source;
    this.#images = images;
  }

  /** Makes `length` bytes from `position`, and what lies around them, readable. */
  async load(position: number, length: number, regionEnd: number): Promise<void> {
    const images = this.#images;
    const size = this.#source.sizeBytes;
    const from = Math.max(0, position - MARGIN_BEFORE);
    const to = Math.min(size, position + length + MARGIN_BEHIND);
    const loadedTo = images.sourceBase + images.source.length;
    if (from >= images.sourceBase && to <= loadedTo) return;
    // Ahead only as far as this region will need.
    const ahead = Math.min(READ_AHEAD_BYTES, regionEnd - position) + MARGIN_BEHIND;
    const end = Math.max(to, Math.min(size, position + Math.max(ahead, SMALLEST_READ_BYTES)));
    images.source = await readExactly(this.#source, from, end - from);
    images.sourceBase = from;
  }
}

async function readExactly(
  source: PatchSource,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const first = await source.read(offset, length);
  if (first.length === length) return first;
  const whole = new Uint8Array(length);
  let filled = 0;
  let chunk = first;
  for (;;) {
    if (chunk.length === 0 || filled + chunk.length > length) {
      throw refusePatch("the source is cut short");
    }
    whole.set(chunk, filled);
    filled += chunk.length;
    if (filled === length) return whole;
    chunk = await source.read(offset + filled, length - filled);
  }
}
