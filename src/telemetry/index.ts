export { createTelemetry, type Telemetry } from "./telemetry.ts";
export type {
  ArmFigures,
  Bucket,
  EventView,
  LatestValue,
  NewPoint,
  NewPoints,
  Watermark,
} from "./telemetry-store.ts";
export { isMetricName, type RejectedValue, type RejectionReason } from "./telemetry-validation.ts";
