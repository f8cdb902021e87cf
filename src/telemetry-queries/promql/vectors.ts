import { PromqlError } from "./error.ts";
import { deviation, quantile } from "./windows.ts";

export type Labels = Readonly<Record<string, string>>;

/** One series of an answer: a value for each step, undefined where it has none. */
export interface Line {
  labels: Labels;
  values: (number | undefined)[];
}

/** A number for each step, or series. */
export type Value = { kind: "scalar"; values: number[] } | { kind: "vector"; lines: Line[] };

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
  const kept = lines.filter(({ values }) => values.some((value) => value !== undefined));
  return { kind: "vector", lines: kept };
}

const TOGETHER: Record<string, (values: number[], parameter: number) => number> = {
  sum: (values) => values.reduce((total, value) => total + value, 0),
  avg: (values) => values.reduce((total, value) => total + value, 0) / values.length,
  min: (values) => values.reduce((least, value) => Math.min(least, value)),
  max: (values) => values.reduce((most, value) => Math.max(most, value)),
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
  /** The number of topk, bottomk and quantile. */
  parameter: number;
}

export function aggregate(lines: readonly Line[], aggregation: Aggregation): Line[] {
  const { operator, parameter } = aggregation;
  const groups = new Map<string, { labels: Labels; lines: Line[] }>();
  for (const line of lines) {
    const labels = groupLabels(line.labels, aggregation);
    const key = signatureOf(labels);
    const group = groups.get(key) ?? { labels, lines: [] };
    group.lines.push(line);
    groups.set(key, group);
  }
  if (operator === "topk" || operator === "bottomk") {
    const sign = operator === "topk" ? 1 : -1;
    return [...groups.values()].flatMap((group) => best(group.lines, parameter, sign));
  }
  const together = TOGETHER[operator];
  if (!together) throw new PromqlError(`the aggregation ${operator} is not supported here`, 0);
  return [...groups.values()].map(({ labels, lines: members }) => ({
    labels,
    values: (members[0]?.values ?? []).map((_, step) => {
      const values = members.flatMap((line) => line.values[step] ?? []);
      return values.length > 0 ? together(values, parameter) : undefined;
    }),
  }));
}

function groupLabels(labels: Labels, { without, labels: names }: Aggregation): Labels {
  const kept = Object.entries(labels).filter(([name]) =>
    without ? name !== "__name__" && !names.includes(name) : names.includes(name),
  );
  return Object.fromEntries(kept);
}

/** At each step the first so many of a group; a series is there where it is among them. */
function best(lines: readonly Line[], count: number, sign: number): Line[] {
  const steps = lines[0]?.values.length ?? 0;
  const kept = lines.map(({ labels }) => ({
    labels,
    values: new Array<number | undefined>(steps).fill(undefined),
  }));
  for (let step = 0; step < steps; step += 1) {
    lines
      .map((line, index) => ({ index, value: line.values[step] }))
      .filter((one): one is { index: number; value: number } => one.value !== undefined)
      .sort((left, right) => sign * (right.value - left.value))
      .slice(0, Math.max(0, Math.floor(count)))
      .forEach(({ index, value }) => {
        const line = kept[index];
        if (line) line.values[step] = value;
      });
  }
  return kept.filter(({ values }) => values.some((value) => value !== undefined));
}
