import type { FleetSeries, SeriesRequest } from "../../api/index.ts";
import type { Line } from "./series-chart.tsx";

export const COMPARISONS = [
  { value: "none", label: "nothing" },
  { value: "before", label: "the time before" },
  { value: "day", label: "the day before" },
  { value: "week", label: "the week before" },
];

const DAY_MS = 86_400_000;
const NAMES: Record<string, string> = {
  before: "before",
  day: "day before",
  week: "week before",
};

/** How far back the other time lies, in whole buckets, so that values of both stand at one place. */
export function shiftOf(
  compare: string | undefined,
  { from, to, stepMs }: { from: number; to: number; stepMs: number },
): number | undefined {
  if (compare === undefined || !Object.hasOwn(NAMES, compare)) return undefined;
  const shift = { before: to - from, day: DAY_MS, week: 7 * DAY_MS }[compare] ?? 0;
  return Math.ceil(shift / stepMs) * stepMs;
}

/** The same of the other time, in buckets as wide. Of devices, those that are drawn. */
export function requestBefore(
  request: SeriesRequest,
  answer: Pick<FleetSeries, "series" | "resolution">,
  shift: number,
  { from, to }: { from: number; to: number },
): SeriesRequest {
  const { points: _points, top: _top, ...rest } = request;
  const keys = answer.series.flatMap(({ key }) => key || []);
  return {
    ...rest,
    step: `${answer.resolution.stepMs}ms`,
    ...{ from: String(from - shift), to: String(to - shift) },
    ...(request.groupBy === "device" && keys.length > 0 ? { devices: keys.join(",") } : {}),
  };
}

/** Whether an answer to one may stand for the other until that comes: they differ in their time alone. */
export function isSameQuestion(one: SeriesRequest, other: SeriesRequest): boolean {
  const bare = ({ from: _from, to: _to, ...rest }: SeriesRequest) =>
    JSON.stringify(Object.entries(rest).sort(([left], [right]) => (left < right ? -1 : 1)));
  return bare(one) === bare(other);
}

/** Lines of the other time, each behind the line that it is compared with. */
export function withEarlier(
  lines: readonly Line[],
  earlier: FleetSeries["series"],
  shift: number,
  compare: string,
): Line[] {
  const byKey = new Map(earlier.map(({ key, points }) => [String(key), points]));
  return lines.flatMap((line, index) => {
    const points = byKey.get(line.key);
    if (!points || points.length === 0) return [{ ...line, color: index }];
    return [
      { ...line, color: index },
      {
        key: `${line.key}\n${compare}`,
        name: `${line.name}, ${NAMES[compare]}`,
        points: points.map(([ts, value]) => [(ts ?? 0) + shift, value ?? null] as const),
        color: index,
        isEarlier: true,
      },
    ];
  });
}
