import { PromqlError } from "./error.ts";
import {
  assertDistinct,
  type Labels,
  type Line,
  present,
  signatureOf,
  type Value,
  withoutName,
} from "./vectors.ts";

/** Which series of the two sides belong together, and whether several of one may meet one of the other. */
export interface Matching {
  /** By these labels alone, or by all but these. */
  on: boolean;
  labels: readonly string[];
  /** The side that has several: `group_left` or `group_right`. */
  many: "left" | "right" | null;
  /** Labels that these get from the other side. */
  include: readonly string[];
}

export const BY_ALL_LABELS: Matching = { on: false, labels: [], many: null, include: [] };

export interface Operation {
  operator: string;
  bool: boolean;
  matching: Matching;
}

type Numbers = (left: number, right: number) => number;

const ARITHMETIC: Record<string, Numbers> = {
  "+": (left, right) => left + right,
  "-": (left, right) => left - right,
  "*": (left, right) => left * right,
  "/": (left, right) => left / right,
  "%": (left, right) => left % right,
  "^": (left, right) => left ** right,
  atan2: Math.atan2,
};
const COMPARISONS: Record<string, (left: number, right: number) => boolean> = {
  "==": (left, right) => left === right,
  "!=": (left, right) => left !== right,
  "<": (left, right) => left < right,
  "<=": (left, right) => left <= right,
  ">": (left, right) => left > right,
  ">=": (left, right) => left >= right,
};
const SETS = ["and", "or", "unless"];

/** `left operator right`, as Prometheus has it. */
export function combine(operation: Operation, left: Value, right: Value): Value {
  const { operator, bool, matching } = operation;
  if (SETS.includes(operator)) return combineSets(operator, matching, left, right);
  const arithmetic = ARITHMETIC[operator];
  const comparison = COMPARISONS[operator];
  if (!arithmetic && !comparison) {
    throw new PromqlError(`the operator ${operator} is not supported here`, 0);
  }
  if (bool && arithmetic) {
    throw new PromqlError("bool modifier can only be used on comparison operators", 0);
  }
  const apply: Apply = (l, r, kept) => {
    if (l === undefined || r === undefined) return undefined;
    if (arithmetic) return arithmetic(l, r);
    const holds = comparison?.(l, r) ?? false;
    return bool ? Number(holds) : holds ? kept : undefined;
  };
  const changes = arithmetic !== undefined || bool;
  if (left.kind === "scalar" && right.kind === "scalar") {
    if (!changes) throw new PromqlError("comparisons between scalars must use BOOL modifier", 0);
    const values = left.values.map((l, step) => apply(l, right.values[step], l) ?? Number.NaN);
    return { kind: "scalar", values };
  }
  if (left.kind === "vector" && right.kind === "vector") {
    return present(assertDistinct(matched(left.lines, right.lines, matching, apply, changes)));
  }
  if (matching !== BY_ALL_LABELS) {
    throw new PromqlError("vector matching only allowed between instant vectors", 0);
  }
  const [vector, scalar] = left.kind === "vector" ? [left, right] : [right, left];
  const numbers = (scalar as { values: number[] }).values;
  const lines = (vector as { lines: Line[] }).lines.map(({ labels, values }) => ({
    labels: changes ? withoutName(labels) : labels,
    values: values.map((value, step) =>
      left.kind === "vector"
        ? apply(value, numbers[step], value)
        : apply(numbers[step], value, value),
    ),
  }));
  return present(assertDistinct(lines));
}

type Apply = (
  left: number | undefined,
  right: number | undefined,
  kept: number | undefined,
) => number | undefined;

function matched(
  left: readonly Line[],
  right: readonly Line[],
  matching: Matching,
  apply: Apply,
  changes: boolean,
): Line[] {
  const [many, one] = matching.many === "right" ? [right, left] : [left, right];
  const partners = Map.groupBy(one, ({ labels }) => keyOf(labels, matching));
  const groups = Map.groupBy(many, ({ labels }) => keyOf(labels, matching));
  return [...groups].flatMap(([key, members]) => {
    const others = partners.get(key);
    if (!others) return [];
    const single = joined(
      others,
      "many-to-many matching not allowed: matching labels must be unique",
    );
    if (matching.many === null) {
      const why = "many-to-one matching must be explicit (group_left/group_right)";
      const own = joined(members, `multiple matches for labels: ${why}`);
      const values = own.map((value, step) => apply(value, single[step], value));
      const labels = members[0]?.labels ?? {};
      return [{ labels: labelsOfPair(changes ? withoutName(labels) : labels, matching), values }];
    }
    const other = others[0]?.labels ?? {};
    return members.map(({ labels, values }) => ({
      labels: withIncluded(changes ? withoutName(labels) : labels, other, matching.include),
      values: values.map((value, step) =>
        matching.many === "left"
          ? apply(value, single[step], value)
          : apply(single[step], value, single[step]),
      ),
    }));
  });
}

/** At each step the value of the one series that has any; two at once are refused. */
function joined(lines: readonly Line[], refusal: string): (number | undefined)[] {
  const [first, ...rest] = lines;
  if (!first || rest.length === 0) return first?.values ?? [];
  return first.values.map((_, step) => {
    const found = lines.flatMap(({ values }) => values[step] ?? []);
    if (found.length > 1) throw new PromqlError(refusal, 0);
    return found[0];
  });
}

/** `a and b`, `a or b`, `a unless b`: series stay what they are, at the steps at which they are chosen. */
function combineSets(operator: string, matching: Matching, left: Value, right: Value): Value {
  if (left.kind === "scalar" || right.kind === "scalar") {
    throw new PromqlError(`set operator "${operator}" not allowed in binary scalar expression`, 0);
  }
  if (matching.many !== null) {
    throw new PromqlError(`no grouping allowed for "${operator}" operation`, 0);
  }
  const [kept, judges] = operator === "or" ? [right.lines, left.lines] : [left.lines, right.lines];
  const there = Map.groupBy(judges, ({ labels }) => keyOf(labels, matching));
  const wanted = operator === "and";
  const chosen = kept.map(({ labels, values }) => {
    const found = there.get(keyOf(labels, matching)) ?? [];
    const isThere = (step: number) => found.some((line) => line.values[step] !== undefined);
    return {
      labels,
      values: values.map((value, step) => (isThere(step) === wanted ? value : undefined)),
    };
  });
  if (operator !== "or") return present(chosen);
  // Of one series that both sides have, the right one fills the steps that the left one leaves.
  const lines = new Map(left.lines.map((line) => [signatureOf(line.labels), line]));
  for (const line of chosen) {
    const known = lines.get(signatureOf(line.labels));
    const values = known?.values.map((value, step) => value ?? line.values[step]) ?? line.values;
    lines.set(signatureOf(line.labels), { labels: line.labels, values });
  }
  return present([...lines.values()]);
}

function keyOf(labels: Labels, { on, labels: names }: Matching): string {
  return signatureOf(pick(withoutName(labels), (name) => names.includes(name) === on));
}

function labelsOfPair(labels: Labels, { on, labels: names }: Matching): Labels {
  return pick(labels, (name) => names.includes(name) === on);
}

function withIncluded(labels: Labels, other: Labels, include: readonly string[]): Labels {
  const own = pick(labels, (name) => !include.includes(name));
  return { ...own, ...pick(other, (name) => include.includes(name)) };
}

function pick(labels: Labels, wants: (name: string) => boolean): Labels {
  return Object.fromEntries(Object.entries(labels).filter(([name]) => wants(name)));
}
