export { type DurationEstimate, estimateDuration, evidenceSeconds } from "./estimate.ts";
export * from "./gate/index.ts";
export { armOf } from "./incidents.ts";
export { type Hop, hopsTo } from "./planning.ts";
export * from "./policy.ts";
export { createRollouts, type Rollouts } from "./rollouts.ts";
export {
  DEVICE_STATES,
  type DeviceProgress,
  type DeviceState,
  groupCounts,
  moveByDeadline,
  moveByReport,
  moveBySighting,
} from "./states.ts";
export type * from "./types.ts";
export { ROLLOUT_STATES } from "./types.ts";
export { falseAlarmShare, wolfWarnings } from "./wolf.ts";
