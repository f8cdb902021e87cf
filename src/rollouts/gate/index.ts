export { callsForRollback, evaluate, TESTED_METRICS } from "./gate.ts";
export { arrange, type Candidate, planStages, releasedDevices, type StagePlan } from "./stages.ts";
export { acknowledge, initialGateState } from "./state.ts";
export type * from "./types.ts";
