export * from "./alerting.ts";
export * from "./certificate-queries.ts";
export {
  api,
  type Body,
  type LogSearchFilter,
  type RolloutAction,
  type SavedSearch,
} from "./client.ts";
export * from "./command-queries.ts";
export * from "./health-queries.ts";
export { ApiError } from "./http.ts";
export { type Liveness, rolloutKey, useLiveRollout } from "./live-rollout.ts";
export * from "./platform.ts";
export * from "./queries.ts";
export * from "./telemetry.ts";
export * from "./types.ts";
