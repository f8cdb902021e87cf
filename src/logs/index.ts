export type { RejectedLine } from "./log-rows.ts";
export type { ErrorFigures, LogEntry, LogPage, LogSearch, TailPosition } from "./log-store.ts";
export { MAX_DEVICES } from "./log-store.ts";
export { createLogs, type Logs, type Refused, type Trace } from "./logs.ts";
export type { DeviceSamples } from "./otlp-metrics.ts";
export { encodeOtlpAnswer } from "./otlp-proto.ts";
export { TENANT_ATTRIBUTE } from "./span-rows.ts";
export type { SpanView } from "./span-store.ts";
