import { PromqlError } from "./error.ts";
import {
  assertDistinct,
  type Labels,
  type Line,
  present,
  signatureOf,
  type Value,
  type Values,
  valuesOf,
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
    values: valuesOf(values.length, (step) => {
      const value = values[step];
      return left.kind === "vector"
        ? apply(value, numbers[step], value)
        : apply(numbers[step], value, value);
    }),
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
      const values = valuesOf(own.length, (step) => apply(own[step], single[step], own[step]));
      const labels = members[0]?.labels ?? {};
      return [{ labels: labelsOfPair(changes ? withoutName(labels) : labels, matching), values }];
    }
    const other = others[0]?.labels ?? {};
    return members.map(({ labels, values }) => ({
      labels: withIncluded(changes ? withoutName(labels) : labels, other, matching.include),
      values: valuesOf(values.length, (step) =>
        matching.many === "left"
          ? apply(values[step], single[step], values[step])
          : apply(single[step], values[step], single[step]),
      ),
    }));
  });
}

/** At each step the value of the one series that has any; two at once are refused. */
function joined(lines: readonly Line[], refusal: string): Values {
  const [first, ...rest] = lines;
  if (!first || rest.length === 0) return first?.values ?? [];
  return valuesOf(first.values.length, (step) => {
    let found: number | undefined;
    for (const { values } of lines) {
      if (values[step] === undefined) continue;
      if (found !== undefined) throw new PromqlError(refusal, 0);
      found = values[step];
    }
    return found;
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
  const there = stepsOf(judges, matching);
  const wanted = operator === "and";
  const chosen = kept.map(({ labels, values }) => {
    const found = there.get(keyOf(labels, matching));
    const isChosen = (step: number) => (found?.[step] === 1) === wanted;
    return {
      labels,
      values: valuesOf(values.length, (step) => (isChosen(step) ? values[step] : undefined)),
    };
  });
  if (operator !== "or") return present(chosen);
  // Of one series that both sides have, the right one fills the steps that the left one leaves.
  const lines = new Map(left.lines.map((line) => [signatureOf(line.labels), line]));
  for (const line of chosen) {
    const known = lines.get(signatureOf(line.labels));
    const values = known
      ? valuesOf(line.values.length, (step) => known.values[step] ?? line.values[step])
      : line.values;
    lines.set(signatureOf(line.labels), { labels: line.labels, values });
  }
  return present([...lines.values()]);
}

/** Of each match the steps at which any of its series has a value. */
function stepsOf(lines: readonly Line[], matching: Matching): Map<string, Uint8Array> {
  const there = new Map<string, Uint8Array>();
  for (const { labels, values } of lines) {
    const key = keyOf(labels, matching);
    const steps = there.get(key) ?? new Uint8Array(values.length);
    there.set(key, steps);
    for (let step = 0; step < values.length; step += 1) {
      if (values[step] !== undefined) steps[step] = 1;
    }
  }
  return there;
}

/** The name counts where it is asked for. */
function keyOf(labels: Labels, { on, labels: names }: Matching): string {
  const own = on ? labels : withoutName(labels);
  return signatureOf(pick(own, (name) => names.includes(name) === on));
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
