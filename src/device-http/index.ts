export type { DeviceHttpDeps, DeviceHttpOptions } from "./deps.ts";
export { type DeviceHttp, startDeviceHttp } from "./server.ts";
