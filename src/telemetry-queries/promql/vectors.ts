import type { Budget } from "./budget.ts";
import { PromqlError } from "./error.ts";
import { deviation, greater, lesser, quantile, sortingWork } from "./windows.ts";

export type Labels = Readonly<Record<string, string>>;

/**
 * A value for each step, none where there is none. Arrays with empty places hold plain numbers, at 8 bytes
 * each; one that holds `undefined` takes three times as much. `map` and its like pass empty places by.
 */
export type Values = (number | undefined)[];

/** One series of an answer. */
export interface Line {
  labels: Labels;
  values: Values;
}

/** A number for each step, or series. */
export type Value = { kind: "scalar"; values: number[] } | { kind: "vector"; lines: Line[] };

export function valuesOf(steps: number, valueAt: (step: number) => number | undefined): Values {
  const values: Values = new Array(steps);
  for (let step = 0; step < steps; step += 1) {
    const value = valueAt(step);
    if (value !== undefined) values[step] = value;
  }
  return values;
}

/** A label that is missing is an empty one. */
export function labelOf(labels: Labels, name: string): string {
  // Names are of anybody's choice: `constructor` is one.
  return Object.hasOwn(labels, name) ? (labels[name] ?? "") : "";
}

export function withoutName({ __name__: _, ...labels }: Labels): Labels {
  return labels;
}

export function signatureOf(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([left], [right]) => (left < right ? -1 : 1)));
}

/** What Prometheus refuses: series that nothing tells apart any more. */
export function assertDistinct<Of extends readonly { labels: Labels }[]>(lines: Of): Of {
  const known = new Set<string>();
  for (const { labels } of lines) known.add(signatureOf(labels));
  if (known.size < lines.length) {
    throw new PromqlError("vector cannot contain metrics with the same labelset", 0);
  }
  return lines;
}

/** The series that have a value at all. */
export function present(lines: Line[]): Value {
  return { kind: "vector", lines: lines.filter(isPresent) };
}

/** By places: `some` looks up each empty one in turn. */
function isPresent({ values }: Line): boolean {
  for (let step = 0; step < values.length; step += 1) {
    if (values[step] !== undefined) return true;
  }
  return false;
}

const TOGETHER: Record<string, (values: number[], parameter: number) => number> = {
  sum: (values) => values.reduce((total, value) => total + value, 0),
  avg: (values) => values.reduce((total, value) => total + value, 0) / values.length,
  min: (values) => values.reduce(lesser),
  max: (values) => values.reduce(greater),
  count: (values) => values.length,
  group: () => 1,
  stddev: (values) => deviation(values),
  stdvar: (values) => deviation(values) ** 2,
  quantile: (values, q) => quantile(values, q),
};

export interface Aggregation {
  operator: string;
  without: boolean;
  labels: readonly string[];
  /** The number of topk, bottomk and quantile at each step; empty for others. */
  parameters: readonly number[];
}

export async function aggregate(
  lines: readonly Line[],
  aggregation: Aggregation,
  budget: Budget,
): Promise<Line[]> {
  const { operator, parameters } = aggregation;
  const groups = new Map<string, { labels: Labels; lines: Line[] }>();
  for (const line of lines) {
    const labels = groupLabels(line.labels, aggregation);
    const key = signatureOf(labels);
    const group = groups.get(key) ?? { labels, lines: [] };
    group.lines.push(line);
    groups.set(key, group);
  }
  const steps = lines[0]?.values.length ?? 0;
  if (operator === "topk" || operator === "bottomk") {
    const sign = operator === "topk" ? 1 : -1;
    const chosen: Line[] = [];
    for (const group of groups.values()) {
      chosen.push(...(await best(group.lines, parameters, sign, budget)));
    }
    return chosen;
  }
  const together = Object.hasOwn(TOGETHER, operator) ? TOGETHER[operator] : undefined;
  if (!together) throw new PromqlError(`the aggregation ${operator} is not supported here`, 0);
  const sums: Line[] = [];
  for (const { labels, lines: members } of groups.values()) {
    const values: Values = new Array(steps);
    for (let step = 0; step < steps; step += 1) {
      const there: number[] = [];
      for (const line of members) {
        const value = line.values[step];
        if (value !== undefined) there.push(value);
      }
      budget.spend(operator === "quantile" ? sortingWork(there.length) : members.length);
      if (budget.isPauseDue) await budget.pause();
      if (there.length > 0) values[step] = together(there, parameters[step] ?? Number.NaN);
    }
    sums.push({ labels, values });
  }
  return sums;
}

function groupLabels(labels: Labels, { without, labels: names }: Aggregation): Labels {
  const kept = Object.entries(labels).filter(([name]) =>
    without ? name !== "__name__" && !names.includes(name) : names.includes(name),
  );
  return Object.fromEntries(kept);
}

/** At each step the first so many of a group; a series is there where it is among them. */
async function best(
  lines: readonly Line[],
  counts: readonly number[],
  sign: number,
  budget: Budget,
): Promise<Line[]> {
  const steps = lines[0]?.values.length ?? 0;
  budget.hold(lines.length * steps);
  const kept = lines.map(({ labels }) => ({ labels, values: new Array(steps) as Values }));
  for (let step = 0; step < steps; step += 1) {
    const there: { index: number; value: number }[] = [];
    for (const [index, line] of lines.entries()) {
      const value = line.values[step];
      if (value !== undefined) there.push({ index, value });
    }
    // Sorting by a function of ours takes several times as long as sorting numbers.
    budget.spend(3 * sortingWork(there.length));
    if (budget.isPauseDue) await budget.pause();
    there.sort((left, right) => numbersFirst(left.value, right.value, -sign));
    for (const { index, value } of there.slice(0, Math.max(0, Math.floor(counts[step] ?? 0)))) {
      const line = kept[index];
      if (line) line.values[step] = value;
    }
  }
  return kept.filter(isPresent);
}

/** For sorting, upwards where `sign` is 1; what is no number comes last either way. */
export function numbersFirst(left: number, right: number, sign: number): number {
  if (Number.isNaN(left) || Number.isNaN(right)) {
    return Number(Number.isNaN(left)) - Number(Number.isNaN(right));
  }
  return left === right ? 0 : sign * (left < right ? -1 : 1);
}
