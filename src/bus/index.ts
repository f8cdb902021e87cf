export * from "./bus.ts";
export { LocalBus } from "./local-bus.ts";
