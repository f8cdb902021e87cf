import type { MetricPolicy } from "./policy-parts.ts";
import type { RolloutsDeps } from "./types.ts";

const MINUTE_MS = 60_000;
const DEFAULT_WINDOW_SECONDS = 3_600;
/** Rollups are computed a moment after their time is over. */
const ROLLUP_LAG_MS = 2 * MINUTE_MS;

/** Milliseconds, `to` excluded; a device is compared when it has run its image since `from`. */
export interface FigureWindow {
  from: number;
  to: number;
}

export function readsRollups(metric: MetricPolicy): boolean {
  return metric.source === "rollups" || metric.transform !== undefined;
}

/** The time over which both devices of a pair are read. Pure. */
export function windowOf(metric: MetricPolicy, now: number): FigureWindow {
  const lengthMs = (metric.windowSeconds ?? DEFAULT_WINDOW_SECONDS) * 1_000;
  if (!readsRollups(metric)) return { from: now - lengthMs, to: now };
  // The last whole one: it is one bucket of the query, and coarse rollups fit into it.
  const to = Math.floor((now - ROLLUP_LAG_MS) / lengthMs) * lengthMs;
  return { from: to - lengthMs, to };
}

/** One figure for each of the devices that has one. Throws where the store does not answer. */
export async function readFigures(
  deps: Pick<RolloutsDeps, "telemetry" | "queries">,
  tenantId: string,
  metric: MetricPolicy,
  deviceIds: readonly string[],
  { from, to }: FigureWindow,
): Promise<Map<string, number>> {
  if (deviceIds.length === 0) return new Map();
  if (metric.query !== undefined) {
    return deps.queries.answerByDevice(tenantId, { query: metric.query, at: to, deviceIds });
  }
  const name = metric.metric.slice("telemetry.".length);
  const aggregate = metric.aggregate ?? "mean";
  if (!readsRollups(metric)) {
    const query = { metric: name, deviceIds, from, to, aggregate };
    return deps.telemetry.figuresByDevice(tenantId, query);
  }
  const { series } = await deps.queries.series(tenantId, {
    ...{ metric: name, from, to, stepMs: to - from, devices: deviceIds, groupBy: "device" },
    aggregate: aggregate === "mean" ? "avg" : aggregate,
    transform: metric.transform ?? "none",
    fill: "none",
  });
  return new Map(
    series.flatMap(({ key, points }) => {
      const figure = points.at(-1)?.[1] ?? null;
      return key === null || figure === null ? [] : [[key, figure] as const];
    }),
  );
}
