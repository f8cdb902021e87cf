export type { DeviceSeries, DeviceSeriesQuery } from "./device-series.ts";
export type { LatestItem, LatestPage, LatestSort } from "./latest-store.ts";
export { PromqlError } from "./promql/error.ts";
export { durationOf } from "./promql/syntax.ts";
export { isAggregate } from "./resolution.ts";
export { createTelemetryQueries, type TelemetryQueries } from "./telemetry-queries.ts";
export * from "./types.ts";
