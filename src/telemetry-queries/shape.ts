import type { Fill, Series } from "./types.ts";

export interface Shape {
  fill: Fill;
  from: number;
  stepMs: number;
  buckets: number;
}

/** The buckets of a series, of which some may hold nothing, as the answer gives them. */
export function fillGaps(
  values: ReadonlyMap<number, number | null>,
  shape: Shape,
): Series["points"] {
  const { fill, from, stepMs, buckets } = shape;
  const at = (bucket: number) => from + bucket * stepMs;
  if (fill === "none") return [...values].map(([bucket, value]) => [at(bucket), value]);
  const all = Array.from({ length: buckets }, (_, bucket) => values.get(bucket) ?? null);
  if (fill === "previous") carryForward(all);
  if (fill === "linear") interpolate(all);
  return all.map((value, bucket) => [at(bucket), value]);
}

function carryForward(values: (number | null)[]): void {
  for (let index = 1; index < values.length; index += 1) {
    values[index] ??= values[index - 1] ?? null;
  }
}

/** Between two values a straight line; nothing before the first and after the last. */
function interpolate(values: (number | null)[]): void {
  let known: number | undefined;
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index];
    if (value === null || value === undefined) continue;
    if (known !== undefined) {
      const before = values[known] as number;
      for (let between = known + 1; between < index; between += 1) {
        values[between] = before + ((value - before) * (between - known)) / (index - known);
      }
    }
    known = index;
  }
}
