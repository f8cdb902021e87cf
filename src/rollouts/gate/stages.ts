import { createHash } from "node:crypto";
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

export interface Candidate {
  id: string;
  hardwareRevision: string;
  region: string;
  /** Left out of the gate's arms: a poor canary, since nothing is learnt from it. */
  excluded: boolean;
}

/**
 * The order in which devices are touched: by a hash of rollout and device, so that no one chooses
 * it and it is the same each time; the canaries first, spread over hardware revisions and regions.
 */
export function arrange<T extends Candidate>(
  rolloutId: string,
  devices: readonly T[],
  canaries: number,
): T[] {
  const keyed = devices.map((device) => ({ device, key: orderKey(rolloutId, device.id) }));
  keyed.sort((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0));
  const shuffled = keyed.map((entry) => entry.device);
  const chosen = spread(shuffled, canaries);
  return [...chosen, ...shuffled.filter((device) => !chosen.has(device))];
}

/** One device of each kind in turn, until there are enough. */
function spread<T extends Candidate>(devices: readonly T[], count: number): Set<T> {
  const kinds = new Map<string, T[]>();
  for (const device of devices) {
    if (device.excluded) continue;
    const kind = `${device.hardwareRevision}\0${device.region}`;
    const members = kinds.get(kind);
    if (members) members.push(device);
    else kinds.set(kind, [device]);
  }
  const chosen = new Set<T>();
  for (let round = 0; chosen.size < count && kinds.size > 0; round += 1) {
    for (const [kind, members] of kinds) {
      const device = members[round];
      if (!device) kinds.delete(kind);
      else if (chosen.size < count) chosen.add(device);
    }
  }
  return chosen;
}

function orderKey(rolloutId: string, deviceId: string): string {
  return createHash("sha256").update(`${rolloutId}/${deviceId}`).digest("hex").slice(0, 24);
}
