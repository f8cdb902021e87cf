import type { Region } from "./address-map.ts";

/** Finds for a place of the new image the longest equal run in the old one. */
export interface Matcher {
  /** Sets `matchAt` and `matchLength`. */
  find(target: number): void;
  matchAt: number;
  matchLength: number;
  /** Gives its tables back at once, not when they are collected: what comes next needs as much. Ends its use. */
  release(): void;
}

export interface AlignmentOptions {
  /** A match extends while `matchWeight` times its equal bytes outweighs its length. */
  matchWeight: number;
  /** A new alignment must have so many equal bytes more than the present one. */
  advantageBytes: number;
  /** Throws to cancel; told how much of the new image is done. */
  onProgress?: ((doneBytes: number) => void) | undefined;
}

/** Of a match that adds nothing, only so much is looked through for a better one. */
const LONG_MATCH_BYTES = 1024;
const PROGRESS_BYTES = 1 << 18;

/**
 * Lines the new image up with the old one, in the manner of Percival's "Naive differences of
 * executable code": exact matches are the seeds, and regions grow over bytes that differ as long as
 * enough of them agree. Regions do not overlap in the new image and come in its order.
 */
export function alignImages(
  source: Uint8Array,
  target: Uint8Array,
  matcher: Matcher,
  options: AlignmentOptions,
): Region[] {
  return new Aligner(source, target, matcher, options).run();
}

class Aligner {
  readonly #source: Uint8Array;
  readonly #target: Uint8Array;
  readonly #matcher: Matcher;
  readonly #options: AlignmentOptions;
  readonly #regions: Region[] = [];
  /** Where the last region begins in both images, and the shift that it stands for. */
  #lastTarget = 0;
  #lastSource = 0;
  #shift = 0;

  constructor(source: Uint8Array, target: Uint8Array, matcher: Matcher, options: AlignmentOptions) {
    this.#source = source;
    this.#target = target;
    this.#matcher = matcher;
    this.#options = options;
  }

  run(): Region[] {
    const matcher = this.#matcher;
    const end = this.#target.length;
    let scan = 0;
    let reported = 0;
    matcher.matchLength = 0;
    while (scan < end) {
      scan += matcher.matchLength;
      const { next, expected } = this.#seek(scan);
      scan = next;
      if (matcher.matchLength !== expected || scan >= end) this.#close(scan);
      if (scan - reported >= PROGRESS_BYTES) {
        reported = scan;
        this.#options.onProgress?.(scan);
      }
    }
    return this.#regions;
  }

  /** Goes on until a match says clearly more than the present alignment would. */
  #seek(from: number): { next: number; expected: number } {
    const matcher = this.#matcher;
    const end = this.#target.length;
    let counted = from;
    let expected = 0;
    let scan = from;
    for (; scan < end; scan++) {
      matcher.find(scan);
      const length = matcher.matchLength;
      for (; counted < scan + length; counted++) {
        if (this.#agrees(counted)) expected += 1;
      }
      if (length === expected && length !== 0) break;
      if (length > expected + this.#options.advantageBytes) break;
      // The present alignment is as good for all of a long match: erased flash would be searched byte by byte.
      for (const end = scan + length - LONG_MATCH_BYTES; scan < end; scan++) {
        if (this.#agrees(scan)) expected -= 1;
      }
      if (this.#agrees(scan)) expected -= 1;
    }
    return { next: scan, expected };
  }

  #agrees(target: number): boolean {
    const source = target + this.#shift;
    return (
      source >= 0 && source < this.#source.length && this.#source[source] === this.#target[target]
    );
  }

  /** Ends the present region, and begins one with the match that was found. */
  #close(scan: number): void {
    const matcher = this.#matcher;
    const isEnd = scan >= this.#target.length;
    let forward = this.#forward(scan);
    let backward = isEnd ? 0 : this.#backward(scan);
    const overlap = this.#lastTarget + forward - (scan - backward);
    if (overlap > 0) {
      const kept = this.#split(forward, backward, overlap, scan);
      forward += kept - overlap;
      backward -= kept;
    }
    if (forward > 0) {
      this.#regions.push({
        source: this.#lastSource,
        target: this.#lastTarget,
        length: forward,
      });
    }
    this.#lastTarget = scan - backward;
    this.#lastSource = matcher.matchAt - backward;
    this.#shift = matcher.matchAt - scan;
  }

  /** How far the present region reaches to gain the most. */
  #forward(scan: number): number {
    const weight = this.#options.matchWeight;
    const limit = Math.min(scan - this.#lastTarget, this.#source.length - this.#lastSource);
    let equal = 0;
    let best = 0;
    let length = 0;
    for (let index = 0; index < limit; ) {
      if (this.#source[this.#lastSource + index] === this.#target[this.#lastTarget + index]) {
        equal += 1;
      }
      index += 1;
      const score = equal * weight - index;
      if (score > best) {
        best = score;
        length = index;
      }
    }
    return length;
  }

  #backward(scan: number): number {
    const weight = this.#options.matchWeight;
    const { matchAt } = this.#matcher;
    const limit = Math.min(scan - this.#lastTarget, matchAt);
    let equal = 0;
    let best = 0;
    let length = 0;
    for (let index = 1; index <= limit; index++) {
      if (this.#source[matchAt - index] === this.#target[scan - index]) equal += 1;
      const score = equal * weight - index;
      if (score > best) {
        best = score;
        length = index;
      }
    }
    return length;
  }

  /** How much of the overlap the earlier region keeps. */
  #split(forward: number, backward: number, overlap: number, scan: number): number {
    const earlierTarget = this.#lastTarget + forward - overlap;
    const earlierSource = this.#lastSource + forward - overlap;
    const laterTarget = scan - backward;
    const laterSource = this.#matcher.matchAt - backward;
    let score = 0;
    let best = 0;
    let kept = 0;
    for (let index = 0; index < overlap; index++) {
      if (this.#target[earlierTarget + index] === this.#source[earlierSource + index]) score += 1;
      if (this.#target[laterTarget + index] === this.#source[laterSource + index]) score -= 1;
      if (score > best) {
        best = score;
        kept = index + 1;
      }
    }
    return kept;
  }
}
