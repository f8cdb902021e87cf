import type { Region } from "./address-map.ts";
import type { AddressSpace } from "./address-spaces.ts";
import { ARCHITECTURES, type Architecture } from "./architectures.ts";
import { reserveCodec } from "./codec.ts";
import { controlOf } from "./control.ts";
import { MAX_SPACES } from "./header.ts";
import { Kernel } from "./kernel.ts";

/** Processors are told apart by this much of the image. */
const SAMPLE_BYTES = 1024 * 1024;
const SLICE_BYTES = 32 * 1024;
const SAMPLE_PROFILE = 2;

/**
 * How many bytes of a sample are guessed wrong by one way to read the images. All ways are tried in one
 * kernel, made with the first: its memory holds both images, and nothing gives it back before it is collected.
 */
export class MissCounter {
  readonly #source: Uint8Array;
  readonly #target: Uint8Array;
  readonly #regions: readonly Region[];
  #trial: ((spaces: readonly AddressSpace[], architecture: Architecture) => number) | undefined;

  constructor(source: Uint8Array, target: Uint8Array, regions: readonly Region[]) {
    this.#source = source;
    this.#target = target;
    this.#regions = regions;
  }

  count(spaces: readonly AddressSpace[], architecture: Architecture): number {
    this.#trial ??= this.#makeTrial();
    return this.#trial(spaces, architecture);
  }

  #makeTrial() {
    const [source, target, regions] = [this.#source, this.#target, this.#regions];
    const sizes = { sourceSize: source.length, targetSize: target.length };
    const control = controlOf(regions, sizes);
    const kernel = new Kernel(Number.POSITIVE_INFINITY);
    const { run } = kernel;
    const header = {
      profile: SAMPLE_PROFILE,
      architecture: ARCHITECTURES[0] as Architecture,
      spaces: new Array<AddressSpace>(MAX_SPACES),
    };
    const begin = kernel.reserve(0);
    const setUp = reserveCodec(kernel, header, control);
    const [sourceAt, targetAt] = [kernel.reserve(source.length), kernel.reserve(target.length)];
    const streams = kernel.reserve(4 * SAMPLE_BYTES);
    kernel.commit();
    kernel.bytes.set(source, sourceAt);
    kernel.bytes.set(target, targetAt);
    return (spaces: readonly AddressSpace[], architecture: Architecture): number => {
      // Nothing learned by one way may help the next.
      kernel.bytes.fill(0, begin, sourceAt);
      header.spaces = [...spaces];
      run.reset(ARCHITECTURES.indexOf(architecture));
      setUp();
      run.setSource(sourceAt, source.length);
      run.setTarget(targetAt);
      let misses = 0;
      for (const { source: from, target: to, length } of samplesOf(regions)) {
        run.beginBlock(streams, streams + 2 * SAMPLE_BYTES);
        run.enterRegion(from);
        misses += run.encodeRegion(from, to, length);
      }
      return misses;
    };
  }
}

/** Of all regions together SAMPLE_BYTES, in slices from end to end: an image may begin with anything. */
function* samplesOf(regions: readonly Region[]): Generator<Region> {
  const total = regions.reduce((sum, region) => sum + region.length, 0);
  const every = Math.max(SLICE_BYTES, Math.floor((total * SLICE_BYTES) / SAMPLE_BYTES));
  let passed = 0;
  for (const { source, target, length } of regions) {
    for (let at = 0; at < length; ) {
      const within = (passed + at) % every;
      if (within < SLICE_BYTES) {
        const taken = Math.min(length - at, SLICE_BYTES - within);
        yield { source: source + at, target: target + at, length: taken };
        at += taken;
      } else at += Math.min(length - at, every - within);
    }
    passed += length;
  }
}
