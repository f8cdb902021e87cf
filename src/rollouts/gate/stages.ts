import type { RolloutPolicy, StagePolicy } from "../policy.ts";

export interface StagePlan {
  name: string;
  /** Devices that the rollout may have touched when this stage is full. */
  cumulativeDevices: number;
  isHoldback: boolean;
}

/**
 * Stage sizes for a number of devices: cumulative, percentages rounded up and at least 1, the last
 * but for the hold-back always everything. Stages may coincide when there are few devices.
 */
export function planStages(policy: RolloutPolicy, deviceCount: number): StagePlan[] {
  const heldBack = Math.floor((deviceCount * policy.holdbackPercent) / 100);
  const most = deviceCount - heldBack;
  let reached = 0;
  const stages: StagePlan[] = policy.stages.map((stage, index) => {
    const wanted = stage.devices ?? Math.ceil((deviceCount * (stage.percent as number)) / 100);
    const last = index === policy.stages.length - 1;
    reached = last ? most : Math.min(most, Math.max(reached, wanted, 1));
    return { name: stage.name, cumulativeDevices: reached, isHoldback: false };
  });
  if (heldBack > 0) {
    stages.push({ name: "hold-back", cumulativeDevices: deviceCount, isHoldback: true });
  }
  return stages;
}

/** How many devices may have been offered the update by now: a ramp opens its stage bit by bit. */
export function releasedDevices(
  stage: StagePolicy | undefined,
  before: number,
  full: number,
  stageAgeSeconds: number,
): number {
  const ramp = stage?.rampSeconds ?? 0;
  if (ramp <= 0 || stageAgeSeconds >= ramp) return full;
  return Math.min(full, before + Math.ceil(((full - before) * stageAgeSeconds) / ramp));
}
