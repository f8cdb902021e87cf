export type { DevicesDeps } from "./deps.ts";
export { createDevices, type Devices } from "./devices.ts";
export { compileFleetQuery, type FleetQuery, fleetCondition } from "./fleet-query.ts";
export { PRESENCE_BATCH } from "./presence-store.ts";
export type { DevicePage } from "./registry-store.ts";
export { type DeviceReports, INCIDENTS_KEPT_MS } from "./reports.ts";
export * from "./types.ts";
export { versionSortKey } from "./version-order.ts";
