import type { AddressMap, Region } from "./address-map.ts";
import type { AddressSpace } from "./address-spaces.ts";

/** Firmware begins at a multiple of this. */
const GRANULE = 256;
const MAX_WORDS = 600;
const MAX_SHIFT = 1 << 20;
const MAX_VOTES = 4_000_000;
/** So many words must be explained, and such a share of those that changed. */
const MIN_EXPLAINED = 8;
const MIN_SHARE = 0.04;
const CANDIDATES = 6;

/**
 * At which address a raw image runs, told by the pointers in it: a word that changed by as much as
 * some region moved may point into that region, which leaves few places for the beginning. Returns
 * one space over the whole image, or none.
 */
export function guessAddressSpace(
  source: Uint8Array,
  target: Uint8Array,
  regions: readonly Region[],
  map: AddressMap,
): AddressSpace[] {
  const words = changedWords(source, target, regions);
  const votes = new Map<number, number>();
  const byShift = groupByShift(regions);
  let cast = 0;
  const count = words.length / 2;
  const step = Math.max(1, Math.floor(count / MAX_WORDS));
  for (let index = 0; index < count && cast < MAX_VOTES; index += step) {
    const word = words[2 * index] as number;
    const now = words[2 * index + 1] as number;
    for (const region of byShift.get(now - word) ?? []) {
      const first = Math.ceil((word - region.source - region.length + 1) / GRANULE);
      const last = Math.floor((word - region.source) / GRANULE);
      for (let granule = Math.max(0, first); granule <= last; granule++, cast++) {
        votes.set(granule, (votes.get(granule) ?? 0) + 1);
      }
    }
  }
  const best = [...votes].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, CANDIDATES);
  let chosen = -1;
  let most = Math.max(MIN_EXPLAINED, count * MIN_SHARE);
  for (const [granule] of best) {
    const explained = countExplained(words, granule * GRANULE, source.length, map);
    if (explained > most) {
      most = explained;
      chosen = granule * GRANULE;
    }
  }
  if (chosen < 0) return [];
  return [
    {
      module: 1,
      source: 0,
      length: source.length,
      sourceAddress: chosen,
      target: 0,
      targetAddress: chosen,
    },
  ];
}

/** Aligned words that changed a little: old and new by turns. An image may have millions of them. */
function changedWords(
  source: Uint8Array,
  target: Uint8Array,
  regions: readonly Region[],
): Uint32Array {
  let count = 0;
  eachChangedWord(source, target, regions, () => {
    count += 1;
  });
  const words = new Uint32Array(2 * count);
  let at = 0;
  eachChangedWord(source, target, regions, (word, now) => {
    words[at++] = word;
    words[at++] = now;
  });
  return words;
}

function eachChangedWord(
  source: Uint8Array,
  target: Uint8Array,
  regions: readonly Region[],
  take: (word: number, now: number) => void,
): void {
  const before = new DataView(source.buffer, source.byteOffset, source.length);
  const after = new DataView(target.buffer, target.byteOffset, target.length);
  for (const region of regions) {
    const end = region.source + region.length - 4;
    for (let at = (region.source + 3) & ~3; at <= end; at += 4) {
      const word = before.getUint32(at, true);
      const now = after.getUint32(at - region.source + region.target, true);
      if (word !== now && Math.abs(now - word) < MAX_SHIFT) take(word, now);
    }
  }
}

function groupByShift(regions: readonly Region[]): Map<number, Region[]> {
  const groups = new Map<number, Region[]>();
  for (const region of regions) {
    const shift = region.target - region.source;
    const group = groups.get(shift);
    if (group) group.push(region);
    else groups.set(shift, [region]);
  }
  return groups;
}

function countExplained(words: Uint32Array, base: number, length: number, map: AddressMap): number {
  let explained = 0;
  for (let at = 0; at < words.length; at += 2) {
    const place = (words[at] as number) - base;
    if (place < 0 || place >= length) continue;
    if (map.map(place) + base === words[at + 1]) explained += 1;
  }
  return explained;
}
