import type { AGGREGATES } from "./policy-parts.ts";

/** Devices' figures as one; undefined of none. Percentiles by the nearest rank. Pure. */
export function taken(
  figures: readonly number[],
  aggregate: (typeof AGGREGATES)[number],
): number | undefined {
  if (figures.length === 0) return undefined;
  if (aggregate === "mean") {
    // Step by step: figures near the end of what a number can hold add up to no sum.
    return figures.reduce((mean, value, index) => mean + (value - mean) / (index + 1), 0);
  }
  const sorted = Float64Array.from(figures).sort();
  return sorted[rankOf(aggregate, sorted.length)];
}

function rankOf(aggregate: Exclude<(typeof AGGREGATES)[number], "mean">, count: number): number {
  switch (aggregate) {
    case "min":
      return 0;
    case "max":
      return count - 1;
    case "p50":
      return Math.ceil(count * 0.5) - 1;
    case "p95":
      return Math.ceil(count * 0.95) - 1;
  }
}
