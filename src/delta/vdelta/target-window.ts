import type { Images } from "./field.ts";

/** Contexts read this far back whatever the window. */
const MARGIN_BYTES = 64;

/** Keeps the latest bytes of the new image in memory. */
export class TargetWindow {
  readonly #images: Images;
  readonly #keptBytes: number;

  constructor(images: Images, windowBytes: number, stepBytes: number) {
    this.#images = images;
    this.#keptBytes = windowBytes + MARGIN_BYTES;
    images.target = new Uint8Array(2 * this.#keptBytes + stepBytes);
  }

  /** Makes room for `length` bytes from `position`, which everything before has been made up to. */
  reserve(position: number, length: number): void {
    const images = this.#images;
    const { target } = images;
    if (position + length - images.targetBase <= target.length) return;
    const keepFrom = Math.max(images.targetBase, position - this.#keptBytes);
    target.copyWithin(0, keepFrom - images.targetBase, position - images.targetBase);
    images.targetBase = keepFrom;
  }

  /** A copy of what was made. */
  slice(position: number, length: number): Uint8Array {
    const from = position - this.#images.targetBase;
    return this.#images.target.slice(from, from + length);
  }
}
