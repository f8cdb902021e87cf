/** Share of the devices at either end that count as their nearest neighbour. */
const OUTER_SHARE = 0.05;
/** Below this there is no neighbour that could be told from a liar. */
const MIN_DEVICES = 3;

/**
 * The mean over devices, each with one value, in which the outermost ones (at least one at either
 * end) count as their nearest neighbour: no single device moves it, whatever it sends, and what a
 * twentieth of the fleet says is heard. Null where there is no value.
 */
export function steadyMean(values: readonly number[]): number | null {
  const sorted = Float64Array.from(values.filter(Number.isFinite)).sort();
  const { length } = sorted;
  if (length === 0) return null;
  const outer = length < MIN_DEVICES ? 0 : Math.max(1, Math.floor(length * OUTER_SHARE));
  const low = sorted[outer] as number;
  const high = sorted[length - 1 - outer] as number;
  return sorted.reduce((sum, value) => sum + Math.min(Math.max(value, low), high) / length, 0);
}
