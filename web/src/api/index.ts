export * from "./alerting.ts";
export * from "./certificate-queries.ts";
export { api, type Body, type RolloutAction } from "./client.ts";
export * from "./command-queries.ts";
export * from "./health-queries.ts";
export { ApiError } from "./http.ts";
export { type Liveness, rolloutKey, useLiveRollout } from "./live-rollout.ts";
export * from "./queries.ts";
export * from "./types.ts";
