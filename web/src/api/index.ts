export { api } from "./client.ts";
export { ApiError } from "./http.ts";
export { type Liveness, rolloutKey, useLiveRollout } from "./live-rollout.ts";
export * from "./queries.ts";
export type * from "./rollout-types.ts";
export type * from "./types.ts";
export { PRESENCES, TENANT_ROLES } from "./types.ts";
