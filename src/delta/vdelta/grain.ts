import type { Region } from "./address-map.ts";

/** Literals that are looked at. */
const SAMPLE_BYTES = 128 * 1024;
const GRAINS = [0, 1, 2] as const;
/** Of each byte value in each context before it was seen, in observations (Krichevsky and Trofimov: 1/2). */
const PRIOR = 0.05;

/**
 * At which multiples, 2^grain, the literals repeat themselves: 2 for instructions of four bytes, 0 where
 * a place says nothing. The grain with which simple adaptive contexts would pack them best.
 */
export function grainOf(target: Uint8Array, regions: readonly Region[]): number {
  let best = 0;
  let smallest = Number.POSITIVE_INFINITY;
  for (const grain of GRAINS) {
    const bits = bitsOf(target, regions, (1 << grain) - 1);
    if (bits >= smallest) continue;
    smallest = bits;
    best = grain;
  }
  return best;
}

/** Bits that the literals take, each in the light of its place and the upper half of the byte before. */
function bitsOf(target: Uint8Array, regions: readonly Region[], mask: number): number {
  const seen = new Uint32Array((mask + 1) << 12);
  const totals = new Uint32Array((mask + 1) << 4);
  let bits = 0;
  let left = SAMPLE_BYTES;
  let from = 0;
  for (let index = 0; index <= regions.length && left > 0; index++) {
    const region = regions[index];
    const to = Math.min(region?.target ?? target.length, from + left);
    for (let at = from; at < to; at++) {
      const context = ((at & mask) << 4) | ((target[at - 1] ?? 0) >> 4);
      const slot = (context << 8) | (target[at] as number);
      const count = seen[slot] as number;
      const total = totals[context] as number;
      bits += Math.log2((total + 256 * PRIOR) / (count + PRIOR));
      seen[slot] = count + 1;
      totals[context] = total + 1;
    }
    left -= Math.max(0, to - from);
    if (region) from = region.target + region.length;
  }
  return bits;
}
