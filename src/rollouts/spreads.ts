import type { RolloutPolicy } from "./policy.ts";
import type { RolloutsDeps } from "./types.ts";

/** Devices whose figures show what is usual. */
export const SPREAD_SAMPLE = 1_000;
const DAY_MS = 86_400_000;
const TELEMETRY = "telemetry.";

const ERROR_LOGS = "error-log-rate";

/** Whether limits ask for what only the devices' own telemetry or logs can tell. */
export function asksForFigures({ thresholds }: RolloutPolicy): boolean {
  return thresholds.some(({ metric }) => metric.startsWith(TELEMETRY) || metric === ERROR_LOGS);
}

/** What devices have shown in the last day of all that limits ask for. */
export async function readSpreads(
  deps: Pick<RolloutsDeps, "telemetry" | "logs" | "logger">,
  tenantId: string,
  policy: RolloutPolicy,
  deviceIds: readonly string[],
  now: number,
): Promise<{ spreads: Map<string, number[]>; errorHours: number[][] | null }> {
  return {
    spreads: await readTelemetry(deps, tenantId, policy, deviceIds, now),
    errorHours: await readErrorHours(deps, tenantId, policy, deviceIds, now),
  };
}

/** Error lines in each hour of the last day, a row for each device; null where nobody asks. */
async function readErrorHours(
  { logs, logger }: Pick<RolloutsDeps, "logs" | "logger">,
  tenantId: string,
  { thresholds }: RolloutPolicy,
  deviceIds: readonly string[],
  now: number,
): Promise<number[][] | null> {
  if (!thresholds.some(({ metric }) => metric === ERROR_LOGS)) return null;
  if (deviceIds.length === 0) return [];
  try {
    const found = await logs.errorsByHour(tenantId, { deviceIds, from: now - DAY_MS, to: now });
    const silent = new Array<number>(24).fill(0);
    return deviceIds.map((id) => found.get(id) ?? silent);
  } catch (error) {
    logger.warn({ tenantId, err: error }, "the devices' error logs could not be read");
    return null;
  }
}

/** Of each metric that a limit asks for one figure of each device that spoke. */
async function readTelemetry(
  { telemetry, logger }: Pick<RolloutsDeps, "telemetry" | "logger">,
  tenantId: string,
  { thresholds }: RolloutPolicy,
  deviceIds: readonly string[],
  now: number,
): Promise<Map<string, number[]>> {
  const spreads = new Map<string, number[]>();
  for (const metric of new Set(thresholds.map((threshold) => threshold.metric))) {
    if (!metric.startsWith(TELEMETRY)) continue;
    if (deviceIds.length === 0) {
      spreads.set(metric, []);
      continue;
    }
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
