import type { FairSlots } from "../../kernel/fair-slots.ts";
import { AppError } from "../../kernel/index.ts";
import { UNKNOWN } from "../meanings.ts";
import { PromqlError } from "./error.ts";
import { Evaluation, type Steps } from "./evaluate.ts";
import { labelsOf, promName } from "./labels.ts";
import { Loading, type LoadingDeps } from "./loading.ts";
import { type Expression, type Matcher, parsePromql } from "./syntax.ts";
import { type Labels, type Line, labelOf, numbersFirst, type Value } from "./vectors.ts";

/** Answers in the shapes of Prometheus' HTTP API; see its documentation for `data`. */
export interface Prometheus {
  /**
   * The value of each device at a moment, over these devices alone. A query that answers without the
   * label `device`, or for one device twice, is refused.
   */
  answerByDevice(
    tenantId: string,
    question: { query: string; at: number; deviceIds: readonly string[] },
  ): Promise<Map<string, number>>;
  query(tenantId: string, query: string, timeMs: number): Promise<unknown>;
  queryRange(tenantId: string, query: string, steps: Steps): Promise<unknown>;
  /** Label sets of the series that any of the selectors chooses; at most `limit`. */
  series(tenantId: string, selectors: readonly string[], limit: number): Promise<Labels[]>;
  labelNames(tenantId: string, selectors: readonly string[]): Promise<string[]>;
  labelValues(tenantId: string, label: string, selectors: readonly string[]): Promise<string[]>;
  metadata(tenantId: string, metric: string | undefined): Promise<Record<string, unknown[]>>;
}

const MAX_STEPS = 11_000;
const MAX_VALUES = 2_000_000;
export const MAX_SELECTORS = 20;

export function createPrometheus(deps: LoadingDeps, slots: FairSlots): Prometheus {
  const loading = new Loading(deps);
  const evaluate = (
    tenantId: string,
    expression: Expression,
    steps: Steps,
    only?: readonly string[],
  ) =>
    slots.run(tenantId, async () => {
      const evaluation = new Evaluation(steps, loading.loader(tenantId, only));
      const value = await evaluation.run(expression);
      const count = value.kind === "vector" ? value.lines.length : 1;
      if (count * evaluation.moments.length > MAX_VALUES) {
        throw new AppError("query-too-expensive", `the answer has more than ${MAX_VALUES} values`);
      }
      return { value, moments: evaluation.moments };
    });
  const chosen = (tenantId: string, selectors: readonly string[]) =>
    slots.run(tenantId, () => chooseAll(loading, tenantId, selectors));
  return {
    async answerByDevice(tenantId, { query, at, deviceIds }) {
      const steps = { start: at, end: at, stepMs: 1 };
      const expression = parsePromql(query);
      return valueByDevice((await evaluate(tenantId, expression, steps, deviceIds)).value);
    },

    async query(tenantId, query, timeMs) {
      const at = Math.round(timeMs);
      const expression = parsePromql(query);
      const { value } = await evaluate(tenantId, expression, { start: at, end: at, stepMs: 1 });
      return instantData(inOrder(value, expression), at);
    },

    async queryRange(tenantId, query, steps) {
      const { start, end, stepMs } = steps;
      if (end < start) throw new PromqlError("end timestamp must not be before start time", 0);
      if (!(stepMs > 0)) throw new PromqlError("zero or negative step is not accepted", 0);
      if ((end - start) / stepMs > MAX_STEPS) {
        throw new PromqlError(`more than ${MAX_STEPS} points in a series: widen the step`, 0);
      }
      const { value, moments } = await evaluate(tenantId, parsePromql(query), steps);
      return rangeData(value, moments);
    },

    async series(tenantId, selectors, limit) {
      if (selectors.length === 0) throw new PromqlError("no match[] parameter provided", 0);
      const found: Labels[] = [];
      const known = new Set<string>();
      for (const { measuring, measuredBy } of await chosen(tenantId, selectors)) {
        const members = new Map(measuring.map((member) => [member.id, member]));
        for (const [metric, ids] of measuredBy) {
          for (const id of ids) {
            if (found.length >= limit) return found;
            const name = `${metric}\n${id}`;
            const member = members.get(id);
            if (!member || known.has(name)) continue;
            known.add(name);
            found.push({ __name__: promName(metric), ...labelsOf(member) });
          }
        }
      }
      return found;
    },

    async labelNames(tenantId, selectors) {
      const names = new Set(["__name__"]);
      for (const { measuring } of await chosen(tenantId, selectors)) {
        for (const member of measuring)
          for (const name of Object.keys(labelsOf(member))) names.add(name);
      }
      return [...names].sort();
    },

    async labelValues(tenantId, label, selectors) {
      const values = new Set<string>();
      for (const { measuredBy, measuring } of await chosen(tenantId, selectors)) {
        if (label === "__name__")
          for (const metric of measuredBy.keys()) values.add(promName(metric));
        else for (const member of measuring) values.add(labelOf(labelsOf(member), label));
      }
      values.delete("");
      return [...values].sort();
    },

    async metadata(tenantId, metric) {
      const meanings = await deps.meanings(tenantId);
      const entries = (await loading.metrics(tenantId)).map((name) => {
        const { unit, description: help } = meanings.get(name) ?? UNKNOWN;
        return [promName(name), [{ type: "unknown", help, unit }]] as [string, unknown[]];
      });
      const known = entries.filter(([name]) => metric === undefined || name === metric);
      return Object.fromEntries(known);
    },
  };
}

async function chooseAll(loading: Loading, tenantId: string, selectors: readonly string[]) {
  if (selectors.length > MAX_SELECTORS) {
    throw new PromqlError(`at most ${MAX_SELECTORS} selectors at once`, 0);
  }
  const parsed: Matcher[][] = selectors.map((text) => {
    const expression = parsePromql(text);
    if (expression.kind === "selector") return expression.matchers;
    throw new PromqlError(`${text.slice(0, 60)} is no series selector`, 0);
  });
  const sets = parsed.length > 0 ? parsed : [[]];
  return Promise.all(
    sets.map(async (matchers) => {
      const found = await loading.choose(tenantId, matchers);
      const measuredBy = await loading.measuredBy(found);
      const ids = new Set<string>();
      for (const devices of new Set(measuredBy.values())) for (const id of devices) ids.add(id);
      return { ...found, measuredBy, measuring: found.members.filter(({ id }) => ids.has(id)) };
    }),
  );
}

/** Series in the order that the outermost function gives them: a table shows them so. */
function inOrder(value: Value, expression: Expression): Value {
  if (value.kind === "scalar") return value;
  const name = expression.kind === "call" ? expression.name : operatorOf(expression);
  const sign = ORDERS[name];
  if (sign === undefined) return value;
  const rank = ({ values: [only = Number.NaN] }: Line) => only;
  const lines = value.lines.toSorted((left, right) => {
    return numbersFirst(rank(left), rank(right), sign);
  });
  return { kind: "vector", lines };
}

const ORDERS: Record<string, 1 | -1> = { sort: 1, sort_desc: -1, topk: -1, bottomk: 1 };

function operatorOf(expression: Expression): string {
  return expression.kind === "aggregate" ? expression.operator : "";
}

function valueByDevice(value: Value): Map<string, number> {
  if (value.kind === "scalar") throw new PromqlError("the answer is one number for all devices", 0);
  const figures = new Map<string, number>();
  for (const { labels, values } of value.lines) {
    const [figure] = values;
    if (figure === undefined || !Number.isFinite(figure)) continue;
    const { device } = labels;
    if (device === undefined) throw new PromqlError("the answer has no label `device`", 0);
    if (figures.has(device)) throw new PromqlError(`the answer has ${device} more than once`, 0);
    figures.set(device, figure);
  }
  return figures;
}

function instantData(value: Value, timeMs: number) {
  const at = timeMs / 1000;
  if (value.kind === "scalar") {
    return { resultType: "scalar", result: [at, textOf(value.values[0] ?? Number.NaN)] };
  }
  const result = value.lines.flatMap(({ labels, values: [only] }) =>
    only === undefined ? [] : [{ metric: labels, value: [at, textOf(only)] }],
  );
  return { resultType: "vector", result };
}

function rangeData(value: Value, moments: readonly number[]) {
  const lines = value.kind === "scalar" ? [{ labels: {}, values: value.values }] : value.lines;
  const result = lines.map(({ labels, values }) => ({
    metric: labels,
    values: values.flatMap((one, step) =>
      one === undefined ? [] : [[(moments[step] ?? 0) / 1000, textOf(one)]],
    ),
  }));
  return { resultType: "matrix", result };
}

function textOf(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}
