import { refusePatch } from "../format.ts";
import { type Region, writeRegions } from "./address-map.ts";

/**
 * One step of rebuilding: `copied` bytes like the old image's, then `literals` new ones; the old
 * position then moves by `copied` and by `seek`.
 */
export interface ControlStep {
  copied: number;
  literals: number;
  seek: number;
}

/** Bytes that a step takes: itself (12, twice), unpacked (15), the address map (12) and its making. */
export const STEP_MEMORY_BYTES = 64;

export const STEP_WORDS = 3;

/** Where the copied part of a step lies; for `ControlList.forEach`. */
export interface PlacedStep extends ControlStep {
  source: number;
  target: number;
}

/** The steps of a patch, checked as they come: a hostile list never leads out of the images. */
export class ControlList {
  readonly #values: Int32Array;
  readonly #sourceSize: number;
  readonly #targetSize: number;
  #count = 0;
  #regions = 0;
  #source = 0;
  #target = 0;

  constructor(steps: number, sizes: { sourceSize: number; targetSize: number }) {
    this.#values = new Int32Array(steps * STEP_WORDS);
    this.#sourceSize = sizes.sourceSize;
    this.#targetSize = sizes.targetSize;
  }

  get length(): number {
    return this.#count;
  }

  add({ copied, literals, seek }: ControlStep): void {
    if (copied > this.#sourceSize - this.#source) {
      throw refusePatch("the patch copies from beyond the old image");
    }
    if (copied + literals > this.#targetSize - this.#target) {
      throw refusePatch("the patch makes too large an image");
    }
    const source = this.#source + copied + seek;
    if (source < 0 || source > this.#sourceSize) {
      throw refusePatch("the patch seeks outside of the old image");
    }
    const at = this.#count * STEP_WORDS;
    this.#values[at] = copied;
    this.#values[at + 1] = literals;
    this.#values[at + 2] = seek;
    this.#count += 1;
    if (copied > 0) this.#regions += 1;
    this.#target += copied + literals;
    this.#source = source;
  }

  /** All steps are there: together they must make the whole image. */
  finish(): void {
    if (this.#target !== this.#targetSize) {
      throw refusePatch("the patch leaves a part of the image out");
    }
  }

  *steps(): Generator<PlacedStep> {
    let source = 0;
    let target = 0;
    for (let at = 0; at < this.#count * STEP_WORDS; at += STEP_WORDS) {
      const copied = this.#values[at] as number;
      const literals = this.#values[at + 1] as number;
      const seek = this.#values[at + 2] as number;
      yield { copied, literals, seek, source, target };
      source += copied + seek;
      target += copied + literals;
    }
  }

  /** Steps that copy. */
  get regionCount(): number {
    return this.#regions;
  }

  /** The steps as the kernel follows them: three words each. */
  writeSteps(words: Int32Array): void {
    words.set(this.#values.subarray(0, this.#count * STEP_WORDS));
  }

  /** The regions as the kernel looks them up: three words each. */
  writeMap(words: Int32Array): void {
    writeRegions(words, this.#regionsOf());
  }

  *#regionsOf(): Generator<Region> {
    for (const { copied, source, target } of this.steps()) {
      if (copied > 0) yield { source, target, length: copied };
    }
  }
}

/** The steps that make a new image of regions in its order. */
export function controlOf(
  regions: readonly Region[],
  sizes: { sourceSize: number; targetSize: number },
): ControlList {
  const list = new ControlList(regions.length + 1, sizes);
  const first = regions[0];
  if (!first || first.target > 0 || first.source > 0) {
    const literals = first?.target ?? sizes.targetSize;
    list.add({ copied: 0, literals, seek: first?.source ?? 0 });
  }
  regions.forEach((region, index) => {
    const next = regions[index + 1];
    const literals = (next?.target ?? sizes.targetSize) - (region.target + region.length);
    const seek = next ? next.source - (region.source + region.length) : 0;
    list.add({ copied: region.length, literals, seek });
  });
  list.finish();
  return list;
}
