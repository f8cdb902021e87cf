import type { Kernel } from "./kernel.ts";

/** Contexts read this far back whatever the window. */
const MARGIN_BYTES = 64;

/** Keeps the latest bytes of the new image in the kernel's memory. */
export class TargetWindow {
  readonly #kernel: Kernel;
  readonly #at: number;
  readonly #length: number;
  readonly #keptBytes: number;
  #base = 0;

  /** To be made before the kernel's memory is committed. */
  constructor(kernel: Kernel, windowBytes: number, stepBytes: number) {
    this.#kernel = kernel;
    this.#keptBytes = windowBytes + MARGIN_BYTES;
    // Moved only when it is full, so that what is kept is not moved again and again.
    this.#length = 2 * this.#keptBytes + 4 * stepBytes;
    this.#at = kernel.reserve(this.#length);
  }

  /** Makes room for `length` bytes from `position`, which everything before has been made up to. */
  reserve(position: number, length: number): void {
    const { bytes, run } = this.#kernel;
    if (position + length - this.#base > this.#length) {
      const keepFrom = Math.max(this.#base, position - this.#keptBytes);
      const from = this.#at + keepFrom - this.#base;
      bytes.copyWithin(this.#at, from, this.#at + position - this.#base);
      this.#base = keepFrom;
    }
    run.setTarget(this.#at - this.#base);
  }

  write(position: number, made: Uint8Array): void {
    this.#kernel.bytes.set(made, this.#at + position - this.#base);
  }

  /** A copy of what was made. */
  slice(position: number, length: number): Uint8Array {
    const from = this.#at + position - this.#base;
    return this.#kernel.bytes.slice(from, from + length);
  }
}
