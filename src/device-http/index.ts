export { answerHeaders, decideAnswer } from "./content-answer.ts";
export type { DeviceHttpDeps, DeviceHttpOptions } from "./deps.ts";
export { DownloadPace } from "./download-pace.ts";
export { type DeviceHttp, startDeviceHttp } from "./server.ts";
export type { PaceLimits } from "./share-out.ts";
