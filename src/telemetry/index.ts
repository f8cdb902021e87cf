export { createDeclaredMetrics, type DeclaredMetrics } from "./declared-metrics.ts";
export { createTelemetry, type Telemetry } from "./telemetry.ts";
export type {
  Aggregate,
  ArmFigures,
  Bucket,
  EventView,
  LatestValue,
  NewPoint,
  NewPoints,
  Watermark,
} from "./telemetry-store.ts";
export type { RejectedValue, RejectionReason } from "./telemetry-validation.ts";
