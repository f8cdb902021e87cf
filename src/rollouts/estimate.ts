import type { StagePlan } from "./gate/index.ts";
import type { Reach } from "./plan-store.ts";
import type { RolloutPolicy } from "./policy.ts";

/** A device's download, installation and boot, where nothing else is known. */
const UPDATE_SECONDS = 600;
const DAY_SECONDS = 86_400;

/** How long a rollout is likely to take, were the release no worse than what runs now. */
export interface DurationEstimate {
  /** By the soak times alone. */
  minimumSeconds: number;
  /** With the time until the evidence suffices; null where evidence alone would never do. */
  expectedSeconds: number | null;
  /** Devices by how long ago they were last heard. */
  reach: Reach;
  /** By then all devices but those that have been away for a month have been heard. */
  reachSeconds: number;
  /** Crashes of a device in an hour that the estimate counts on. */
  crashesPerDeviceHour: number;
  stages: { name: string; minimumSeconds: number; evidenceSeconds: number | null }[];
}

export interface EstimateFacts {
  reach: Reach;
  /** Devices that take part, and that the gate compares. */
  devices: number;
  compared: number;
  crashesPerDeviceHour: number;
}

/**
 * The evidence comes from events: each one says how much less likely "`rateRatio` times worse" has
 * become, so a stage's time is the events that it takes by the rate at which they come.
 */
export function estimateDuration(
  policy: RolloutPolicy,
  stages: readonly StagePlan[],
  facts: EstimateFacts,
): DurationEstimate {
  const { crashesPerDeviceHour, devices, compared, reach } = facts;
  const share = devices > 0 ? compared / devices : 0;
  const lines = stages.map((stage, index) => {
    const settings = stage.isHoldback ? undefined : policy.stages[index];
    const soak = stage.isHoldback ? 0 : (settings?.minSoakSeconds ?? policy.minSoakSeconds);
    const minimumSeconds = UPDATE_SECONDS + (settings?.rampSeconds ?? 0) + soak;
    const asks = index > 0 && !stage.isHoldback;
    const treated = stage.cumulativeDevices * share;
    const evidence = asks
      ? evidenceSeconds(policy, treated, compared - treated, crashesPerDeviceHour)
      : 0;
    return { name: stage.name, minimumSeconds, evidenceSeconds: evidence };
  });
  const reachSeconds =
    reach.month > 0
      ? 30 * DAY_SECONDS
      : reach.week > 0
        ? 7 * DAY_SECONDS
        : reach.day > 0
          ? DAY_SECONDS
          : 0;
  let expected: number | null = 0;
  for (const line of lines) {
    const capped =
      policy.maxSoakSeconds === null
        ? line.evidenceSeconds
        : Math.min(line.evidenceSeconds ?? policy.maxSoakSeconds, policy.maxSoakSeconds);
    if (capped === null) expected = null;
    else if (expected !== null) expected += Math.max(line.minimumSeconds, capped);
  }
  return {
    minimumSeconds: lines.reduce((sum, line) => sum + line.minimumSeconds, 0),
    expectedSeconds: expected === null ? null : Math.round(expected),
    reach,
    reachSeconds,
    crashesPerDeviceHour,
    stages: lines,
  };
}

/** Seconds until the likelihood ratio has fallen far enough, on average; null for never. */
export function evidenceSeconds(
  policy: Pick<RolloutPolicy, "promoteLikelihoodRatio" | "rateRatio">,
  treated: number,
  control: number,
  eventsPerDeviceHour: number,
): number | null {
  const total = treated + control;
  if (treated <= 0 || control <= 0 || eventsPerDeviceHour <= 0) return null;
  const nullShare = treated / total;
  const { rateRatio, promoteLikelihoodRatio } = policy;
  // Expected logarithm that one event adds, if nothing is worse; always below zero.
  const gain = nullShare * Math.log(rateRatio) - Math.log(rateRatio * nullShare + 1 - nullShare);
  const events = Math.log(promoteLikelihoodRatio) / gain;
  return Math.round((events / (eventsPerDeviceHour * total)) * 3_600);
}
