export type { LatestItem, LatestPage, LatestSort } from "./latest-store.ts";
export { isAggregate } from "./resolution.ts";
export { createTelemetryQueries, type TelemetryQueries } from "./telemetry-queries.ts";
export * from "./types.ts";
