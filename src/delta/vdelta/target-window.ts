import type { Kernel } from "./kernel.ts";

/** Contexts read this far back whatever the window. */
const MARGIN_BYTES = 64;

/** So much is made before it is handed on; a write of less costs as much. */
const HANDED_ON_BYTES = 64 * 1024;

/** Keeps the latest bytes of the new image in the kernel's memory, and hands them on in large parts. */
export class TargetWindow {
  readonly #kernel: Kernel;
  readonly #at: number;
  readonly #length: number;
  readonly #keptBytes: number;
  #base = 0;
  #handedOn = 0;

  /** To be made before the kernel's memory is committed. */
  constructor(kernel: Kernel, windowBytes: number, stepBytes: number) {
    this.#kernel = kernel;
    this.#keptBytes = windowBytes + MARGIN_BYTES;
    // Moved only when it is full, so that what is kept is not moved again and again.
    this.#length = Math.ceil(1.25 * this.#keptBytes) + HANDED_ON_BYTES + stepBytes;
    this.#at = kernel.reserve(this.#length);
  }

  /** Makes room for `length` bytes from `position`, which everything before has been made up to. */
  reserve(position: number, length: number): void {
    const { bytes, run } = this.#kernel;
    if (position + length - this.#base > this.#length) {
      const keepFrom = Math.max(0, Math.min(this.#handedOn, position - this.#keptBytes));
      const from = this.#at + keepFrom - this.#base;
      bytes.copyWithin(this.#at, from, this.#at + position - this.#base);
      this.#base = keepFrom;
    }
    run.setTarget(this.#at - this.#base);
  }

  /** Whether so much has been made up to `position` that it is to be taken now. */
  isDue(position: number): boolean {
    return position - this.#handedOn >= HANDED_ON_BYTES;
  }

  /** What was made up to `position` since the last call; good until more is made. */
  take(position: number): Uint8Array {
    const from = this.#at + this.#handedOn - this.#base;
    const made = this.#kernel.bytes.subarray(from, from + position - this.#handedOn);
    this.#handedOn = position;
    return made;
  }
}
