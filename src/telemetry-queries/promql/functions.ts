import { type RE2JS, RE2JSException } from "re2js";
import { PromqlError } from "./error.ts";
import { compiled, inTurns } from "./patterns.ts";
import {
  assertDistinct,
  type Labels,
  type Line,
  labelOf,
  present,
  type Value,
  valuesOf,
  withoutName,
} from "./vectors.ts";

type OfEach = (value: number, ...numbers: number[]) => number | undefined;

interface EachFunction {
  /** Numbers that may follow the vector: at least and at most. */
  numbers: readonly [number, number];
  apply: OfEach;
}

const plain = (apply: OfEach): EachFunction => ({ numbers: [0, 0], apply });

/** Functions of each value by itself. */
export const OF_EACH: Record<string, EachFunction> = {
  abs: plain(Math.abs),
  ceil: plain(Math.ceil),
  floor: plain(Math.floor),
  sqrt: plain(Math.sqrt),
  ln: plain(Math.log),
  log2: plain(Math.log2),
  log10: plain(Math.log10),
  exp: plain(Math.exp),
  sgn: plain(Math.sign),
  deg: plain((value) => (value * 180) / Math.PI),
  rad: plain((value) => (value * Math.PI) / 180),
  sin: plain(Math.sin),
  cos: plain(Math.cos),
  round: {
    numbers: [0, 1],
    apply: (value, to = 1) => Math.floor(value * (1 / to) + 0.5) / (1 / to),
  },
  clamp: {
    numbers: [2, 2],
    apply: (value, least = 0, most = 0) =>
      most < least ? undefined : Math.max(least, Math.min(most, value)),
  },
  clamp_min: { numbers: [1, 1], apply: (value, least = 0) => Math.max(least, value) },
  clamp_max: { numbers: [1, 1], apply: (value, most = 0) => Math.min(most, value) },
};

/** Of a moment in seconds since the epoch, in UTC; of the step's own where no vector is given. */
export const OF_TIME: Record<string, (date: Date) => number> = {
  minute: (date) => date.getUTCMinutes(),
  hour: (date) => date.getUTCHours(),
  day_of_week: (date) => date.getUTCDay(),
  day_of_month: (date) => date.getUTCDate(),
  month: (date) => date.getUTCMonth() + 1,
  year: (date) => date.getUTCFullYear(),
};

export function applyToEach(
  lines: readonly Line[],
  apply: OfEach,
  numbers: readonly (readonly number[])[],
): Value {
  const changed = lines.map(({ labels, values }) => ({
    labels: withoutName(labels),
    values: valuesOf(values.length, (step) => {
      const value = values[step];
      return value === undefined
        ? undefined
        : apply(value, ...numbers.map((of) => of[step] ?? Number.NaN));
    }),
  }));
  return present(assertDistinct(changed));
}

const LABEL = /^[A-Za-z_][A-Za-z0-9_]*$/;
const MAX_TEMPLATE = 1_000;
const MAX_LABEL = 1_000;

/** `label_replace(vector, target, template, source, pattern)`: the pattern fits the whole of the source. */
export async function replaceLabel(
  lines: readonly Line[],
  texts: readonly string[],
): Promise<Line[]> {
  const [target = "", template = "", source = "", pattern = ""] = texts;
  if (!LABEL.test(target)) {
    throw new PromqlError(`invalid destination label name in label_replace(): ${target}`, 0);
  }
  if (template.length > MAX_TEMPLATE) throw new PromqlError("the replacement is too long", 0);
  let expression: RE2JS;
  try {
    expression = compiled(`^(?s:${pattern})$`);
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new PromqlError(`invalid regular expression in label_replace(): ${pattern}`, 0);
  }
  const groups = expression.namedGroups();
  const changed: Line[] = [];
  await inTurns(lines, ({ labels, values }) => {
    const found = expression.matcher(labelOf(labels, source));
    if (!found.matches()) {
      changed.push({ labels, values });
      return;
    }
    const text = template.replace(
      /\$(?:\$|\{(\w+)\}|(\w+))/g,
      (whole, braced?: string, bare?: string) => {
        const name = braced ?? bare;
        if (name === undefined) return whole === "$$" ? "$" : whole;
        const known = Object.hasOwn(groups, name) ? groups[name] : undefined;
        const number = /^\d+$/.test(name) ? Number(name) : known;
        return number === undefined || number > found.groupCount()
          ? ""
          : (found.group(number) ?? "");
      },
    );
    changed.push({ labels: withLabel(labels, target, text), values });
  });
  return assertDistinct(changed);
}

/** `label_join(vector, target, separator, source, …)`. */
export function joinLabels(lines: readonly Line[], texts: readonly string[]): Line[] {
  const [target = "", separator = "", ...sources] = texts;
  if (!LABEL.test(target)) {
    throw new PromqlError(`invalid destination label name in label_join(): ${target}`, 0);
  }
  const changed = lines.map(({ labels, values }) => {
    const text = sources.map((source) => labelOf(labels, source)).join(separator);
    return { labels: withLabel(labels, target, text), values };
  });
  return assertDistinct(changed);
}

function withLabel(labels: Labels, name: string, text: string): Labels {
  if (text.length > MAX_LABEL) throw new PromqlError(`the label ${name} becomes too long`, 0);
  const { [name]: _before, ...rest } = labels;
  return text === "" ? rest : { ...rest, [name]: text };
}

/** 1 at the steps at which nothing is there. */
export function absentLine(lines: readonly Line[], labels: Labels, steps: number): Line {
  const values = valuesOf(steps, (step) =>
    lines.some((line) => line.values[step] !== undefined) ? undefined : 1,
  );
  return { labels, values };
}

/** The value of the only series, at the steps at which there is one alone. */
export function onlyValues(lines: readonly Line[], steps: number): number[] {
  return Array.from({ length: steps }, (_, step) => {
    const found = lines.flatMap(({ values }) => values[step] ?? []);
    return found.length === 1 ? (found[0] as number) : Number.NaN;
  });
}
