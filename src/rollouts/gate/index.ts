export { callsForRollback, evaluate, testedMetrics } from "./gate.ts";
export { planStages, releasedDevices, type StagePlan } from "./stages.ts";
export { acknowledge, initialGateState, takenBack } from "./state.ts";
export type * from "./types.ts";
