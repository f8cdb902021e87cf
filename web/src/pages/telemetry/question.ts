import type { SeriesRequest } from "../../api/index.ts";

/** What the page asks, as its address says it; absent means the usual. */
export interface Question {
  metric?: string | undefined;
  q?: string | undefined;
  by?: string | undefined;
  aggregate?: string | undefined;
  transform?: string | undefined;
  across?: string | undefined;
  top?: string | undefined;
  fill?: string | undefined;
  range?: string | undefined;
  /** An earlier time that is drawn as well: before, day or week. */
  compare?: string | undefined;
  /** A part of time that stands still, in milliseconds since the epoch. */
  from?: string | undefined;
  to?: string | undefined;
}

const HOUR = 3_600_000;
export const RANGES: Record<string, number> = {
  "15m": HOUR / 4,
  "1h": HOUR,
  "6h": 6 * HOUR,
  "24h": 24 * HOUR,
  "7d": 7 * 24 * HOUR,
  "30d": 30 * 24 * HOUR,
  "1y": 365 * 24 * HOUR,
};
export const USUAL_RANGE = "1h";

export const AGGREGATES = [
  { value: "avg", label: "average" },
  { value: "min", label: "minimum" },
  { value: "max", label: "maximum" },
  { value: "sum", label: "sum" },
  { value: "count", label: "count of values" },
  { value: "last", label: "last value" },
  { value: "p50", label: "median" },
  { value: "p90", label: "90th percentile" },
  { value: "p95", label: "95th percentile" },
  { value: "p99", label: "99th percentile" },
];
export const TRANSFORMS = [
  { value: "none", label: "values as they are" },
  { value: "rate", label: "rate: growth a second" },
  { value: "increase", label: "increase of a counter" },
  { value: "delta", label: "delta: change of a gauge" },
];
export const FILLS = [
  { value: "none", label: "join what is near" },
  { value: "null", label: "leave all open" },
  { value: "previous", label: "previous value" },
  { value: "linear", label: "straight line" },
];
export const TOPS = [
  { value: "", label: "all series" },
  { value: "5", label: "5 greatest" },
  { value: "10", label: "10 greatest" },
  { value: "-5", label: "5 smallest" },
  { value: "-10", label: "10 smallest" },
];
const GROUPINGS = [
  { value: "none", label: "nothing: one line" },
  { value: "device", label: "device" },
  { value: "firmware", label: "firmware" },
  { value: "hardware", label: "hardware" },
  { value: "product", label: "product" },
  { value: "region", label: "region" },
  { value: "group", label: "group" },
];

/** With the tags that devices have been seen to have, and the one that is asked for. */
export function groupingsWith(tags: readonly string[], asked: string | undefined) {
  const names = new Set(tags);
  if (asked?.startsWith("tags.")) names.add(asked.slice("tags.".length));
  const options = [...names]
    .sort()
    .map((name) => ({ value: `tags.${name}`, label: `tag ${name}` }));
  return [...GROUPINGS, ...options];
}

/** How many devices are drawn where nothing was said: more lines than these say nothing. */
const DEVICES_DRAWN = 10;

/** The request without its time. */
export function requestOf(question: Question, metric: string, points: number): SeriesRequest {
  const { q, by = "none", aggregate = "avg", transform = "none", across, top } = question;
  const most = top ?? (by === "device" ? String(DEVICES_DRAWN) : "");
  return {
    ...{ metric, points, aggregate, groupBy: by, fill: fillOf(question.fill) },
    transform: transform as NonNullable<SeriesRequest["transform"]>,
    ...(q ? { q } : {}),
    ...(across ? { across } : {}),
    ...(most === "" || most === "0" ? {} : { top: Number(most) }),
  };
}

function fillOf(fill: string | undefined): "none" | "null" | "previous" | "linear" {
  return fill === "null" || fill === "previous" || fill === "linear" ? fill : "none";
}

/** Milliseconds of time until now, or undefined where the address names a part of time. */
export function rangeOf({ range, from, to }: Question): number | undefined {
  if (from && to) return undefined;
  return RANGES[range ?? USUAL_RANGE] ?? RANGES[USUAL_RANGE];
}
