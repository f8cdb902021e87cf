export * from "./bus.ts";
export { LocalBus } from "./local-bus.ts";
export { answerMetrics, gatherMetrics } from "./metrics-exchange.ts";
export { connectUplink, type Flood, type Uplink } from "./uplink.ts";
