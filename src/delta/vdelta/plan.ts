import { crc32 } from "node:zlib";
import { guessAddressSpace } from "./address-guess.ts";
import { AddressMap, type Region } from "./address-map.ts";
import { type AddressSpace, withRest } from "./address-spaces.ts";
import { type AlignmentOptions, alignImages, type Matcher } from "./alignment.ts";
import { ARCHITECTURES, type Architecture } from "./architectures.ts";
import { findElfImages } from "./elf.ts";
import { findEspImages } from "./esp-image.ts";
import { type Executable, spacesOf } from "./executables.ts";
import { grainOf } from "./grain.ts";
import { HashMatcher } from "./hash-matcher.ts";
import { MAX_MODULE_SPACES } from "./header.ts";
import { MissCounter } from "./miss-counter.ts";
import type { SmallPlan } from "./small.ts";
import { SuffixMatcher } from "./suffix-matcher.ts";

/** Up to here the old image is sorted; above, seeds are hashed. */
const SORTED_BYTES = 16 * 1024 * 1024;
const WIDE_STRIDE_BYTES = 48 * 1024 * 1024;
/** Several alignments are tried for images of up to this size. */
const THOROUGH_BYTES = 2 * 1024 * 1024;
const ALIGNMENTS = [
  { matchWeight: 3, advantageBytes: 8 },
  { matchWeight: 3, advantageBytes: 5 },
  { matchWeight: 2, advantageBytes: 8 },
] as const;

/** Where most of an image is new, it may be compressed inside, and very short matches are worth it. */
const COMPRESSED_ALIGNMENT = { matchWeight: 3, advantageBytes: 3 };
const MOSTLY_NEW = 0.5;
/** Where much is new, matches of a few bytes are chance: regions made of them cost more than they tell. */
const SPARSE_ALIGNMENT = { matchWeight: 2, advantageBytes: 16 };
const MUCH_NEW = 0.3;

/** Processors whose code names data by its distance. */
const PAGED: ReadonlySet<Architecture> = new Set(["aarch64", "x86", "riscv"]);
/** The beginning of a page that no word of an image is likely to point at. */
const ANYWHERE = 0x7a5c_0000;
/** Executables say what an image is if they are more of it: a kernel carries two small ones for its programs. */
const TELLING_SHARE = 0.02;

const ARM_SETS = ["thumb", "arm"] as const satisfies readonly Architecture[];

export interface PlanOptions {
  profile: number;
  /** The shortest above this are left out. */
  maxRegions: number;
  /** Stage's name and share done, 0 to 1; may throw to cancel. */
  onProgress?: ((stage: string, share: number) => void) | undefined;
}

/** The ways to take the new image apart that are worth trying, the likeliest first. */
export function planDelta(
  source: Uint8Array,
  target: Uint8Array,
  { profile, maxRegions, onProgress }: PlanOptions,
): SmallPlan[] {
  onProgress?.("indexing", 0);
  const matcher = matcherFor(source, target);
  const isSmall = target.length <= THOROUGH_BYTES;
  const tries: Alignment[] = isSmall ? [...ALIGNMENTS] : [ALIGNMENTS[0]];
  const checksum = crc32(target);
  const plans: SmallPlan[] = [];
  let architecture: Architecture | undefined;
  for (let index = 0; index < tries.length; index++) {
    onProgress?.("aligning", index / tries.length);
    const found = alignImages(source, target, matcher, {
      ...(tries[index] as Alignment),
      onProgress: (done) => onProgress?.("aligning", (index + done / target.length) / tries.length),
    });
    const regions = longest(found, maxRegions);
    if (index === 0 && !isSmall) {
      const share = newShare(regions, target.length);
      if (share > MOSTLY_NEW && source.length <= SORTED_BYTES) tries.push(COMPRESSED_ALIGNMENT);
      if (share > MUCH_NEW) tries.push(SPARSE_ALIGNMENT);
    }
    if (index === tries.length - 1) matcher.release();
    const map = new AddressMap(regions);
    const counter = new MissCounter(source, target, regions);
    let spaces = addressSpaces(source, target, regions, map);
    architecture ??= chooseArchitecture(source, counter, spaces);
    if (spaces.length === 0) spaces = relativeSpace(source, counter, architecture);
    const sizes = { sourceSize: source.length, targetSize: target.length };
    plans.push({
      header: {
        profile,
        architecture,
        grain: grainOf(target, regions),
        checksum,
        spaces,
        ...sizes,
      },
      regions,
    });
  }
  return plans;
}

/** What executables say, else what pointers say; between the segments of a firmware, both. */
function addressSpaces(
  source: Uint8Array,
  target: Uint8Array,
  regions: readonly Region[],
  map: AddressMap,
): AddressSpace[] {
  const elf = spacesOf(findElfImages, source, target, map);
  const elfBytes = elf.reduce((sum, space) => sum + space.length, 0);
  if (elfBytes > source.length * TELLING_SHARE) return elf;
  const guessed = guessAddressSpace(source, target, regions, map);
  const esp = spacesOf(findEspImages, source, target, map);
  if (esp.length === 0) return guessed;
  const sizes = { sourceSize: source.length, targetSize: target.length };
  return withRest(esp, guessed[0], { ...sizes, maxModuleSpaces: MAX_MODULE_SPACES });
}

/**
 * Where nobody knows the address of an image, its distances between instruction and datum are the same at any
 * page: one space somewhere lets them be followed, if that guesses better than none.
 */
function relativeSpace(
  source: Uint8Array,
  counter: MissCounter,
  architecture: Architecture,
): AddressSpace[] {
  if (source.length === 0 || !PAGED.has(architecture)) return [];
  const whole = { module: 1, source: 0, length: source.length, target: 0 };
  const spaces = [{ ...whole, sourceAddress: ANYWHERE, targetAddress: ANYWHERE }];
  const misses = (tried: readonly AddressSpace[]) => counter.count(tried, architecture);
  return misses(spaces) < misses([]) ? spaces : [];
}

type Alignment = Pick<AlignmentOptions, "matchWeight" | "advantageBytes">;

/** How much of the new image no region is like. */
function newShare(regions: readonly Region[], targetBytes: number): number {
  const like = regions.reduce((sum, region) => sum + region.length, 0);
  return 1 - like / targetBytes;
}

function longest(regions: readonly Region[], count: number): readonly Region[] {
  if (regions.length <= count) return regions;
  const kept = regions.toSorted((a, b) => b.length - a.length).slice(0, count);
  return kept.sort((a, b) => a.target - b.target);
}

function matcherFor(source: Uint8Array, target: Uint8Array): Matcher {
  if (source.length <= SORTED_BYTES) return new SuffixMatcher(source, target);
  return new HashMatcher(source, target, source.length <= WIDE_STRIDE_BYTES ? 1 : 4);
}

/** What the ELF files say; for raw images, the processor by which the fewest guesses go wrong. */
function chooseArchitecture(
  source: Uint8Array,
  counter: MissCounter,
  spaces: readonly AddressSpace[],
): Architecture {
  const told = commonest(findElfImages(source), source.length * TELLING_SHARE);
  // ELF has one number for both of ARM's instruction sets (EM_ARM, 40).
  const candidates = told === "arm" ? ARM_SETS : ARCHITECTURES;
  if (told && candidates !== ARM_SETS) return told;
  let best: Architecture = candidates[0];
  let fewest = Number.POSITIVE_INFINITY;
  for (const architecture of candidates) {
    const misses = counter.count(spaces, architecture);
    if (misses < fewest) {
      fewest = misses;
      best = architecture;
    }
  }
  return best;
}

/** The processor of most of the code: a boot loader among a system's files may be of another one. */
function commonest(
  executables: readonly Executable[],
  leastBytes: number,
): Architecture | undefined {
  const sizes = new Map<Architecture, number>();
  for (const { architecture, segments } of executables) {
    if (architecture === "none") continue;
    const bytes = segments.reduce((sum, segment) => sum + segment.length, 0);
    sizes.set(architecture, (sizes.get(architecture) ?? 0) + bytes);
  }
  const [most] = [...sizes].sort((a, b) => b[1] - a[1]);
  return most && most[1] > leastBytes ? most[0] : undefined;
}
