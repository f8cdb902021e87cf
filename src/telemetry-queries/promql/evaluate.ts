import { PromqlError } from "./error.ts";
import type { Expression, Matcher } from "./syntax.ts";
import {
  aggregate,
  combine,
  type Labels,
  type Line,
  present,
  type Value,
  withoutName,
} from "./vectors.ts";
import { COUNTER_FUNCTIONS, type Samples, WINDOW_FUNCTIONS } from "./windows.ts";

/** Moments of an evaluation, milliseconds since the epoch; one step where start is end. */
export interface Steps {
  start: number;
  end: number;
  stepMs: number;
}

/** What a selector reads: the samples after `from` up to `to`, however coarse they may be. */
export interface Load {
  matchers: readonly Matcher[];
  from: number;
  to: number;
  stepMs: number;
  /** The function of a range over it; null for the newest value at each step. */
  use: string | null;
  rangeMs: number;
}

export type LoadSeries = (load: Load) => Promise<{ labels: Labels; samples: Samples }[]>;

/** How old the newest value of a series may be at a step. */
export const LOOKBACK_MS = 5 * 60_000;

const OF_EACH: Record<string, (value: number) => number> = {
  abs: Math.abs,
  ceil: Math.ceil,
  floor: Math.floor,
  sqrt: Math.sqrt,
  ln: Math.log,
  log2: Math.log2,
  log10: Math.log10,
  exp: Math.exp,
  sgn: Math.sign,
};

export class Evaluation {
  readonly #steps: Steps;
  readonly #load: LoadSeries;
  readonly #moments: number[] = [];

  constructor(steps: Steps, load: LoadSeries) {
    this.#steps = steps;
    this.#load = load;
    for (let at = steps.start; at <= steps.end; at += steps.stepMs) this.#moments.push(at);
  }

  get moments(): readonly number[] {
    return this.#moments;
  }

  async run(expression: Expression): Promise<Value> {
    switch (expression.kind) {
      case "number":
        return { kind: "scalar", values: this.#moments.map(() => expression.value) };
      case "selector":
        if (expression.rangeMs !== null) {
          throw new PromqlError("a range needs a function such as rate or avg_over_time", 0);
        }
        return this.#newest(expression);
      case "negate": {
        const nought = { kind: "scalar", values: this.#moments.map(() => 0) } as const;
        return combine("-", false, nought, await this.run(expression.operand));
      }
      case "binary": {
        const left = await this.run(expression.left);
        return combine(
          expression.operator,
          expression.bool,
          left,
          await this.run(expression.right),
        );
      }
      case "aggregate":
        return this.#aggregate(expression);
      case "call":
        return this.#call(expression);
    }
  }

  async #aggregate(expression: Extract<Expression, { kind: "aggregate" }>): Promise<Value> {
    const { operator, without, labels, parameter } = expression;
    const needs = ["topk", "bottomk", "quantile"].includes(operator);
    if (needs !== (parameter !== null) || (parameter && parameter.kind !== "number")) {
      throw new PromqlError(`${operator} takes ${needs ? "a number first" : "one argument"}`, 0);
    }
    const operand = await this.run(expression.operand);
    if (operand.kind === "scalar") throw new PromqlError(`${operator} needs a vector`, 0);
    const number = parameter?.kind === "number" ? parameter.value : 0;
    const aggregation = { operator, without, labels, parameter: number };
    return { kind: "vector", lines: aggregate(operand.lines, aggregation) };
  }

  async #call({ name, args, at }: Extract<Expression, { kind: "call" }>): Promise<Value> {
    const range = args.at(-1);
    if (Object.hasOwn(WINDOW_FUNCTIONS, name)) {
      const [first] = args;
      const parameter = name === "quantile_over_time" && first?.kind === "number" ? first.value : 0;
      const count = name === "quantile_over_time" ? 2 : 1;
      if (range?.kind !== "selector" || range.rangeMs === null || args.length !== count) {
        throw new PromqlError(`${name} needs a range such as [5m]`, at);
      }
      return this.#windows(name, range, range.rangeMs, parameter);
    }
    if (name === "time" && args.length === 0) {
      return { kind: "scalar", values: this.#moments.map((moment) => moment / 1000) };
    }
    const [only] = args;
    if (!only || args.length !== 1) throw unsupported(name, at);
    const value = await this.run(only);
    if (name === "vector" && value.kind === "scalar") {
      return { kind: "vector", lines: [{ labels: {}, values: value.values }] };
    }
    if (name === "sort" || name === "sort_desc") return value;
    const each = OF_EACH[name];
    if (!each || value.kind !== "vector") throw unsupported(name, at);
    const lines = value.lines.map(({ labels, values }) => ({
      labels: withoutName(labels),
      values: values.map((one) => (one === undefined ? undefined : each(one))),
    }));
    return { kind: "vector", lines };
  }

  async #newest(selector: Extract<Expression, { kind: "selector" }>): Promise<Value> {
    const { matchers, offsetMs } = selector;
    const load = this.#loadOf(matchers, offsetMs, LOOKBACK_MS, null);
    const lines = (await this.#load(load)).map(({ labels, samples }) => ({
      labels,
      values: this.#slide(samples, offsetMs, LOOKBACK_MS, (_from, to) => samples.values[to - 1]),
    }));
    return present(lines);
  }

  async #windows(
    name: string,
    { matchers, offsetMs }: Extract<Expression, { kind: "selector" }>,
    rangeMs: number,
    parameter: number,
  ): Promise<Value> {
    const apply = WINDOW_FUNCTIONS[name];
    const keepsName = name === "last_over_time";
    const load = this.#loadOf(matchers, offsetMs, rangeMs, name);
    const lines: Line[] = (await this.#load(load)).map(({ labels, samples }) => ({
      labels: keepsName ? labels : withoutName(labels),
      values: this.#slide(samples, offsetMs, rangeMs, (from, to, window) =>
        apply?.(samples, from, to, { ...window, parameter }),
      ),
    }));
    return present(lines);
  }

  #loadOf(
    matchers: readonly Matcher[],
    offsetMs: number,
    rangeMs: number,
    use: string | null,
  ): Load {
    const { start, end, stepMs } = this.#steps;
    const from = start - offsetMs - rangeMs;
    return { matchers, from, to: end - offsetMs, stepMs: start === end ? 0 : stepMs, use, rangeMs };
  }

  /** For each step the samples after `moment - range` up to `moment`, as places in `samples`. */
  #slide(
    { times }: Samples,
    offsetMs: number,
    rangeMs: number,
    take: (from: number, to: number, window: { start: number; end: number }) => number | undefined,
  ): (number | undefined)[] {
    let from = 0;
    let to = 0;
    return this.#moments.map((moment) => {
      const end = moment - offsetMs;
      const start = end - rangeMs;
      while (to < times.length && (times[to] as number) <= end) to += 1;
      while (from < to && (times[from] as number) <= start) from += 1;
      return to > from ? take(from, to, { start, end }) : undefined;
    });
  }
}

function unsupported(name: string, at: number): PromqlError {
  const known = [...Object.keys(WINDOW_FUNCTIONS), ...Object.keys(OF_EACH), "time", "vector"];
  const hint = COUNTER_FUNCTIONS.includes(name) ? "" : `; there are ${known.join(", ")}`;
  return new PromqlError(`the function ${name} is not supported so${hint}`, at);
}
