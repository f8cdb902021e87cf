import { BY_ALL_LABELS, combine } from "./binary.ts";
import { Budget } from "./budget.ts";
import { PromqlError } from "./error.ts";
import {
  absentLine,
  applyToEach,
  joinLabels,
  OF_EACH,
  OF_TIME,
  onlyValues,
  replaceLabel,
} from "./functions.ts";
import type { Expression, Matcher } from "./syntax.ts";
import {
  aggregate,
  assertDistinct,
  type Labels,
  type Line,
  present,
  type Value,
  type Values,
  withoutName,
} from "./vectors.ts";
import { NUMBER_AT, type Samples, WINDOW_FUNCTIONS, type Window, workOf } from "./windows.ts";

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

interface LoadedSeries {
  labels: Labels;
  samples: Samples;
}

export type LoadSeries = (load: Load) => Promise<LoadedSeries[]>;

type Call = Extract<Expression, { kind: "call" }>;
type Selector = Extract<Expression, { kind: "selector" }>;
type Subquery = Extract<Expression, { kind: "subquery" }>;

/** How old the newest value of a series may be at a step. */
export const LOOKBACK_MS = 5 * 60_000;
/** Of a subquery that names none. */
const SUBQUERY_STEP_MS = 60_000;
const MAX_SUBQUERY_STEPS = 11_000;
const FIRST_NUMBERS = ["topk", "bottomk", "quantile"];

export class Evaluation {
  readonly #steps: Steps;
  readonly #load: LoadSeries;
  readonly #budget: Budget;
  readonly #moments: number[] = [];

  /** Throws, when it runs, `query-too-expensive` where the query takes more than `budget`. */
  constructor(steps: Steps, load: LoadSeries, budget = new Budget()) {
    this.#steps = steps;
    this.#load = load;
    this.#budget = budget;
    for (let at = steps.start; at <= steps.end; at += steps.stepMs) this.#moments.push(at);
  }

  get moments(): readonly number[] {
    return this.#moments;
  }

  async run(expression: Expression): Promise<Value> {
    const { held } = this.#budget;
    const value = await this.#valueOf(expression);
    // What it was made of is let go.
    this.#budget.settle(held + this.#sizeOf(value));
    if (this.#budget.isPauseDue) await this.#budget.pause();
    return value;
  }

  async #valueOf(expression: Expression): Promise<Value> {
    switch (expression.kind) {
      case "number":
        return this.#scalar(() => expression.value);
      case "string":
        throw new PromqlError("a text stands only where a function takes one", expression.at);
      case "subquery":
        throw new PromqlError("a range needs a function such as rate or avg_over_time", 0);
      case "selector":
        if (expression.rangeMs !== null) {
          throw new PromqlError("a range needs a function such as rate or avg_over_time", 0);
        }
        return this.#newest(expression, null, (samples, to) => samples.values[to - 1]);
      case "negate": {
        const minus = { operator: "-", bool: false, matching: BY_ALL_LABELS };
        const operand = await this.#operand(expression.operand);
        return combine(
          minus,
          this.#scalar(() => 0),
          operand,
        );
      }
      case "binary": {
        const left = await this.#operand(expression.left);
        return combine(expression, left, await this.#operand(expression.right));
      }
      case "aggregate":
        return this.#aggregate(expression);
      case "call":
        return this.#call(expression);
    }
  }

  /** A value that another of its size is made of. */
  async #operand(expression: Expression): Promise<Value> {
    const value = await this.run(expression);
    this.#budget.hold(this.#sizeOf(value));
    this.#budget.spend(this.#sizeOf(value));
    return value;
  }

  async #lines(expression: Expression, call: Call): Promise<Line[]> {
    return linesOf(await this.#operand(expression), call);
  }

  #sizeOf(value: Value): number {
    return (value.kind === "vector" ? value.lines.length : 1) * this.#moments.length;
  }

  #scalar(valueAt: (moment: number) => number): Value {
    return { kind: "scalar", values: this.#moments.map(valueAt) };
  }

  async #aggregate(expression: Extract<Expression, { kind: "aggregate" }>): Promise<Value> {
    const { operator, without, labels, parameter } = expression;
    const needs = FIRST_NUMBERS.includes(operator);
    const refused = () =>
      new PromqlError(`${operator} takes ${needs ? "a number first" : "one argument"}`, 0);
    if (needs !== (parameter !== null)) throw refused();
    const number = parameter ? await this.run(parameter) : undefined;
    if (number?.kind === "vector") throw refused();
    const operand = await this.run(expression.operand);
    if (operand.kind === "scalar") throw new PromqlError(`${operator} needs a vector`, 0);
    const aggregation = { operator, without, labels, parameters: number?.values ?? [] };
    return { kind: "vector", lines: await aggregate(operand.lines, aggregation, this.#budget) };
  }

  async #call(call: Call): Promise<Value> {
    const { name, args, at } = call;
    if (Object.hasOwn(WINDOW_FUNCTIONS, name)) return this.#windows(call);
    if (Object.hasOwn(OF_EACH, name)) return this.#each(call);
    if (Object.hasOwn(OF_TIME, name)) return this.#calendar(call);
    const [first, ...rest] = args;
    if (name === "time" && !first) return this.#scalar((moment) => moment / 1000);
    if (name === "pi" && !first) return this.#scalar(() => Math.PI);
    if (!first) throw unsupported(name, at);
    if (name === "timestamp" && rest.length === 0 && first.kind === "selector") {
      if (first.rangeMs !== null) throw new PromqlError("timestamp needs a vector", at);
      const value = await this.#newest(
        first,
        name,
        ({ times }, to) => Number(times[to - 1]) / 1000,
      );
      return { kind: "vector", lines: withoutNames(linesOf(value, call)) };
    }
    if (name === "label_replace" || name === "label_join") {
      const texts = rest.map((arg) => textOf(arg, call));
      const fits = name === "label_replace" ? texts.length === 4 : texts.length >= 2;
      if (!fits) throw new PromqlError(`wrong number of arguments for ${name}`, at);
      const lines = await this.#lines(first, call);
      const change = name === "label_replace" ? replaceLabel : joinLabels;
      return { kind: "vector", lines: await change(lines, texts) };
    }
    if (rest.length > 0) throw unsupported(name, at);
    const steps = this.#moments.length;
    switch (name) {
      case "absent":
        return present([absentLine(await this.#lines(first, call), labelsOf(first), steps)]);
      case "scalar":
        return { kind: "scalar", values: onlyValues(await this.#lines(first, call), steps) };
      case "timestamp":
        // Of what is computed: when.
        return applyToEach(await this.#lines(first, call), (_value, seconds) => seconds, [
          this.#moments.map((moment) => moment / 1000),
        ]);
      case "vector": {
        const value = await this.run(first);
        if (value.kind !== "scalar") throw new PromqlError("vector needs a number", at);
        return { kind: "vector", lines: [{ labels: {}, values: value.values }] };
      }
      case "sort":
      case "sort_desc":
        // In an answer of one moment its series are put in order; in a range there is none.
        return { kind: "vector", lines: await this.#lines(first, call) };
      default:
        throw unsupported(name, at);
    }
  }

  async #each(call: Call): Promise<Value> {
    const { name, args, at } = call;
    const { numbers, apply } = OF_EACH[name] as (typeof OF_EACH)[string];
    const [least, most] = numbers;
    const [first, ...rest] = args;
    if (!first || rest.length < least || rest.length > most) {
      throw new PromqlError(`wrong number of arguments for ${name}`, at);
    }
    const lines = await this.#lines(first, call);
    const given: (readonly number[])[] = [];
    for (const arg of rest) given.push(await this.#numbers(arg, call));
    return applyToEach(lines, apply, given);
  }

  async #calendar(call: Call): Promise<Value> {
    const { name, args, at } = call;
    const of = OF_TIME[name] as (typeof OF_TIME)[string];
    const ofSeconds = (seconds: number) => of(new Date(seconds * 1000));
    if (args.length > 1) throw new PromqlError(`wrong number of arguments for ${name}`, at);
    const [only] = args;
    if (only) return applyToEach(await this.#lines(only, call), ofSeconds, []);
    const values = this.#moments.map((moment) => ofSeconds(moment / 1000));
    return { kind: "vector", lines: [{ labels: {}, values }] };
  }

  async #numbers(expression: Expression, { name, at }: Call): Promise<readonly number[]> {
    const value = await this.run(expression);
    if (value.kind !== "scalar") throw new PromqlError(`${name} takes a number there`, at);
    return value.values;
  }

  /** At each step the newest sample that is not older than five minutes. */
  async #newest(
    { matchers, offsetMs }: Selector,
    use: string | null,
    take: (samples: Samples, to: number) => number | undefined,
  ): Promise<Value> {
    const load = this.#loadOf(matchers, offsetMs, LOOKBACK_MS, use);
    const lines: Line[] = [];
    for (const { labels, samples } of this.#bounded(await this.#load(load))) {
      const window = { offsetMs, rangeMs: LOOKBACK_MS };
      const values = await this.#slide(samples, window, "last_over_time", (_from, to) =>
        take(samples, to),
      );
      lines.push({ labels, values });
    }
    return present(lines);
  }

  async #windows(call: Call): Promise<Value> {
    const { name, args, at } = call;
    const apply = WINDOW_FUNCTIONS[name];
    const numberAt = NUMBER_AT[name];
    const range = args[numberAt === 0 ? 1 : 0];
    const isRange =
      range?.kind === "subquery" || (range?.kind === "selector" && range.rangeMs !== null);
    if (!isRange || args.length !== (numberAt === undefined ? 1 : 2)) {
      throw new PromqlError(`${name} needs a range such as [5m]`, at);
    }
    const number = numberAt === undefined ? undefined : args[numberAt];
    const parameters = number ? await this.#numbers(number, call) : [];
    const rangeMs = range.rangeMs ?? 0;
    const series =
      range.kind === "subquery"
        ? await this.#within(range)
        : await this.#load(this.#loadOf(range.matchers, range.offsetMs, rangeMs, name));
    const keepsName = name === "last_over_time";
    const lines: Line[] = [];
    for (const { labels, samples } of this.#bounded(series)) {
      const { offsetMs } = range;
      const values = await this.#slide(samples, { offsetMs, rangeMs }, name, (from, to, at, step) =>
        apply?.(samples, from, to, { ...at, parameter: parameters[step] ?? 0 }),
      );
      lines.push({ labels: keepsName ? labels : withoutName(labels), values });
    }
    return present(keepsName ? lines : assertDistinct(lines));
  }

  /** The samples that a subquery makes: its steps are counted from the epoch. */
  async #within({ operand, rangeMs, stepMs, offsetMs }: Subquery): Promise<LoadedSeries[]> {
    const width = stepMs ?? SUBQUERY_STEP_MS;
    const after = this.#steps.start - offsetMs - rangeMs;
    const start = (Math.floor(after / width) + 1) * width;
    const end = Math.floor((this.#steps.end - offsetMs) / width) * width;
    if ((end - start) / width > MAX_SUBQUERY_STEPS) {
      throw new PromqlError(`a subquery has more than ${MAX_SUBQUERY_STEPS} steps: widen them`, 0);
    }
    const inner = new Evaluation({ start, end, stepMs: width }, this.#load, this.#budget);
    const value = await inner.run(operand);
    // Each value once more, with its time.
    this.#budget.hold(2 * inner.#sizeOf(value));
    this.#budget.spend(inner.#sizeOf(value));
    const lines = value.kind === "scalar" ? [{ labels: {}, values: value.values }] : value.lines;
    return lines.map(({ labels, values }) => {
      const samples: Samples = { times: [], values: [] };
      for (const [step, one] of values.entries()) {
        if (one === undefined) continue;
        samples.times.push(inner.moments[step] as number);
        samples.values.push(one);
      }
      return { labels, samples };
    });
  }

  /** Takes room for what becomes of them. */
  #bounded(series: LoadedSeries[]): LoadedSeries[] {
    this.#budget.hold(series.length * this.#moments.length);
    return series;
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
  async #slide(
    { times }: Samples,
    { offsetMs, rangeMs }: { offsetMs: number; rangeMs: number },
    name: string,
    take: (from: number, to: number, window: Window, step: number) => number | undefined,
  ): Promise<Values> {
    const values: Values = new Array(this.#moments.length);
    let from = 0;
    let to = 0;
    for (const [step, moment] of this.#moments.entries()) {
      const end = moment - offsetMs;
      const start = end - rangeMs;
      while (to < times.length && (times[to] as number) <= end) to += 1;
      while (from < to && (times[from] as number) <= start) from += 1;
      this.#budget.spend(to > from ? workOf(name, to - from) : 1);
      if (this.#budget.isPauseDue) await this.#budget.pause();
      const value = to > from ? take(from, to, { start, end, moment }, step) : undefined;
      if (value !== undefined) values[step] = value;
    }
    return values;
  }
}

function linesOf(value: Value, { name, at }: Call): Line[] {
  if (value.kind !== "vector") throw new PromqlError(`${name} needs a vector`, at);
  return value.lines;
}

function withoutNames(lines: readonly Line[]): Line[] {
  return assertDistinct(
    lines.map(({ labels, values }) => ({ labels: withoutName(labels), values })),
  );
}

function textOf(expression: Expression, { name, at }: Call): string {
  if (expression.kind !== "string") throw new PromqlError(`${name} takes a text there`, at);
  return expression.text;
}

/** What a selector says for certain of the series that are not there. */
function labelsOf(expression: Expression): Labels {
  if (expression.kind !== "selector") return {};
  const counts = Map.groupBy(expression.matchers, ({ label }) => label);
  return Object.fromEntries(
    expression.matchers
      .filter(({ label, operator }) => operator === "=" && label !== "__name__")
      .filter(({ label, value }) => value !== "" && counts.get(label)?.length === 1)
      .map(({ label, value }) => [label, value]),
  );
}

function unsupported(name: string, at: number): PromqlError {
  const known = [
    ...[...Object.keys(WINDOW_FUNCTIONS), ...Object.keys(OF_EACH), ...Object.keys(OF_TIME)],
    ...["absent", "label_join", "label_replace", "scalar", "sort", "sort_desc", "time"],
    ...["timestamp", "vector"],
  ];
  return new PromqlError(
    `the function ${name} is not supported; there are ${known.join(", ")}`,
    at,
  );
}
