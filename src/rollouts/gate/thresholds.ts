import type { ThresholdPolicy } from "../policy.ts";
import type { Observation } from "./types.ts";

/** Enough for a rate to mean something where the policy does not say. */
const DEFAULT_MINIMUM_DEVICE_HOURS = 24;
/** After a resume the same limit triggers again only when the figure has grown by this factor. */
const GROWTH_AFTER_RESUME = 1.25;

/** The first threshold that is broken with enough evidence behind it. */
export function breachedThreshold(
  thresholds: readonly ThresholdPolicy[],
  observations: readonly Observation[],
  acknowledged: Readonly<Record<string, number>>,
): { threshold: ThresholdPolicy; observation: Observation } | undefined {
  for (const threshold of thresholds) {
    const observation = observations.find((candidate) => candidate.metric === threshold.metric);
    if (!observation || !hasEnoughEvidence(threshold, observation)) continue;
    const accepted = acknowledged[threshold.metric];
    const limit =
      accepted !== undefined && accepted > threshold.above
        ? accepted + Math.abs(accepted) * (GROWTH_AFTER_RESUME - 1)
        : threshold.above;
    if (observation.value > limit) return { threshold, observation };
  }
  return undefined;
}

function hasEnoughEvidence(threshold: ThresholdPolicy, observation: Observation): boolean {
  const deviceHours = threshold.minimumDeviceHours ?? DEFAULT_MINIMUM_DEVICE_HOURS;
  return (
    observation.devices >= (threshold.minimumDevices ?? 1) && observation.deviceHours >= deviceHours
  );
}
