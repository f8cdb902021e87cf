import type { RolloutPolicy } from "./policy.ts";
import type { RolloutsDeps } from "./types.ts";

/** Devices whose figures show what is usual. */
export const SPREAD_SAMPLE = 1_000;
const DAY_MS = 86_400_000;
const TELEMETRY = "telemetry.";

export function asksForTelemetry({ thresholds }: RolloutPolicy): boolean {
  return thresholds.some(({ metric }) => metric.startsWith(TELEMETRY));
}

/** What devices have shown in the last day of each metric that a limit asks for, one figure each. */
export async function readSpreads(
  { telemetry, logger }: Pick<RolloutsDeps, "telemetry" | "logger">,
  tenantId: string,
  { thresholds }: RolloutPolicy,
  deviceIds: readonly string[],
  now: number,
): Promise<Map<string, number[]>> {
  const spreads = new Map<string, number[]>();
  if (deviceIds.length === 0) return spreads;
  for (const metric of new Set(thresholds.map((threshold) => threshold.metric))) {
    if (!metric.startsWith(TELEMETRY)) continue;
    const name = metric.slice(TELEMETRY.length);
    const query = { metric: name, deviceIds, from: now - DAY_MS, to: now };
    try {
      const figures = await telemetry.figuresByDevice(tenantId, { ...query, aggregate: "mean" });
      spreads.set(metric, [...figures.values()]);
    } catch (error) {
      // A plan without this warning is better than none.
      logger.warn({ tenantId, metric, err: error }, "the spread of a metric could not be read");
    }
  }
  return spreads;
}
