import { AppError } from "../kernel/index.ts";
import type { ThresholdPolicy } from "./policy.ts";
import type { MetricPolicy } from "./policy-parts.ts";

const MINUTE_SECONDS = 60;

/** What the schema cannot say of compared figures; `invalid-request` names the field. */
export function assertMetrics(metrics: readonly MetricPolicy[]): void {
  metrics.forEach((metric, index) => {
    const at = `/policy/metrics/${index}`;
    const isQuery = metric.metric.startsWith("query.");
    if (isQuery !== (metric.query !== undefined)) {
      throw wrong(
        `${at}/query`,
        "belongs to a metric called query.<name>, and such a one needs it",
      );
    }
    const chosen = (["aggregate", "source", "transform"] as const).find((key) => metric[key]);
    if (isQuery && chosen)
      throw wrong(`${at}/${chosen}`, "is for telemetry: a query says it itself");
    const { source, transform, windowSeconds = MINUTE_SECONDS } = metric;
    if (transform && source === "points") {
      throw wrong(`${at}/source`, "is rollups where a transform is asked for");
    }
    if ((transform || source === "rollups") && windowSeconds % MINUTE_SECONDS !== 0) {
      throw wrong(`${at}/windowSeconds`, "is whole minutes where rollups are read");
    }
  });
}

export function assertThresholds(thresholds: readonly ThresholdPolicy[]): void {
  const keys = new Set<string>();
  thresholds.forEach((threshold, index) => {
    const at = `/policy/thresholds/${index}`;
    const { above, growsBy, aggregate, metric } = threshold;
    if ((above === undefined) === (growsBy === undefined)) {
      throw wrong(at, "needs either above or growsBy");
    }
    const isTelemetry = metric.startsWith("telemetry.");
    if (!isTelemetry && growsBy !== undefined) {
      throw wrong(`${at}/growsBy`, "is for telemetry: of events the statistics compare both arms");
    }
    if (!isTelemetry && aggregate) throw wrong(`${at}/aggregate`, "is for telemetry");
    const key = figureOf(threshold);
    if (keys.has(key)) throw wrong(at, `asks for ${key} a second time`);
    keys.add(key);
  });
}

/** Names the figure that a limit is held against: `crash-rate`, `growth of p95 of telemetry.boot_ms`. */
export function figureOf({
  metric,
  aggregate,
  growsBy,
}: Pick<ThresholdPolicy, "metric" | "aggregate" | "growsBy">): string {
  const figure = aggregate && aggregate !== "mean" ? `${aggregate} of ${metric}` : metric;
  return growsBy === undefined ? figure : `growth of ${figure}`;
}

function wrong(path: string, message: string): AppError {
  return new AppError("invalid-request", `${path} ${message}`, { path });
}
