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
export { isMetricName, type RejectedValue, type RejectionReason } from "./telemetry-validation.ts";
