import type { AddressMap } from "./address-map.ts";
import type { AddressSpace } from "./address-spaces.ts";
import type { Architecture } from "./architectures.ts";
import { MAX_SPACES } from "./header.ts";

/** Places of a segment that are looked up to find its counterpart. */
const SAMPLES = 32;

/** A stretch of an image and the address at which it runs. */
export interface Segment {
  start: number;
  length: number;
  address: number;
}

/** A program within an image: an ELF file, a firmware with a head of its own. */
export interface Executable {
  /** Where it begins in the image that holds it. */
  start: number;
  architecture: Architecture;
  /** By their beginnings; none within another. */
  segments: Segment[];
}

/**
 * The address spaces of the executables that are in both images and differ, paired by where the
 * region map puts most of what is in them. In the old image's order, none within another.
 */
export function spacesOf(
  find: (image: Uint8Array) => Executable[],
  source: Uint8Array,
  target: Uint8Array,
  map: AddressMap,
): AddressSpace[] {
  const targets = find(target).sort((a, b) => a.start - b.start);
  const spaces: AddressSpace[] = [];
  let module = 0;
  let end = 0;
  for (const one of find(source)) {
    const partner = partnerOf(one, targets, map);
    if (!partner || partner.segments.length !== one.segments.length) continue;
    const [first, last] = [one.segments[0], one.segments.at(-1)] as Segment[] as [Segment, Segment];
    if (first.start < end || spaces.length + one.segments.length > MAX_SPACES) continue;
    if (isSame(source, one, target, partner)) continue;
    end = last.start + last.length;
    module += 1;
    one.segments.forEach((segment, index) => {
      const moved = partner.segments[index] as Segment;
      spaces.push({
        module,
        source: segment.start,
        length: segment.length,
        sourceAddress: segment.address,
        target: moved.start,
        targetAddress: moved.address,
      });
    });
  }
  return spaces;
}

/** Beginnings look alike in all executables, so that some may have been matched with another's. */
function partnerOf(
  { segments }: Executable,
  targets: readonly Executable[],
  map: AddressMap,
): Executable | undefined {
  const votes = new Map<Executable, number>();
  for (const { start, length } of segments) {
    const step = Math.max(1, Math.floor(length / SAMPLES));
    for (let place = start; place < start + length; place += step) {
      const found = holderOf(map.map(place), targets);
      // Larger segments say more.
      if (found) votes.set(found, (votes.get(found) ?? 0) + step);
    }
  }
  return [...votes].sort((a, b) => b[1] - a[1])[0]?.[0];
}

/** The executable that a place lies in, if any. */
function holderOf(place: number, ordered: readonly Executable[]): Executable | undefined {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ordered[middle] as Executable).start <= place) low = middle + 1;
    else high = middle;
  }
  const found = ordered[low - 1];
  const last = found?.segments.at(-1);
  return last && place < last.start + last.length ? found : undefined;
}

function isSame(source: Uint8Array, a: Executable, target: Uint8Array, b: Executable): boolean {
  const end = Math.max(...a.segments.map((segment) => segment.start + segment.length)) - a.start;
  const left = source.subarray(a.start, a.start + end);
  const right = target.subarray(b.start, b.start + end);
  return Buffer.compare(left, right) === 0;
}

export function overlap(segments: readonly Segment[]): boolean {
  return segments.some((segment, index) => {
    const before = segments[index - 1];
    return before !== undefined && before.start + before.length > segment.start;
  });
}
