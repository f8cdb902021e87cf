import type { ThresholdPolicy } from "../policy.ts";
import { figureOf } from "../policy-checks.ts";
import { figure, plural } from "./sentences.ts";
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
    const observation = observations.find((candidate) => candidate.metric === figureOf(threshold));
    if (!observation || !hasEnoughEvidence(threshold, observation)) continue;
    const accepted = acknowledged[figureOf(threshold)];
    const stated = limitOf(threshold);
    const limit =
      accepted !== undefined && accepted > stated
        ? accepted + Math.abs(accepted) * (GROWTH_AFTER_RESUME - 1)
        : stated;
    if (observation.value > limit) return { threshold, observation };
  }
  return undefined;
}

/** The policy permits one of the two. */
function limitOf({ above, growsBy }: ThresholdPolicy): number {
  return (growsBy ?? above) as number;
}

/** Why a limit is broken, with both sides where two were compared. */
export function breachSentence(threshold: ThresholdPolicy, observation: Observation): string {
  const { value, devices, baseline } = observation;
  const limit = limitOf(threshold);
  const on = `on ${plural(devices, "updated device")}`;
  if (threshold.growsBy === undefined || !baseline) {
    return `${figureOf(threshold)} is ${figure(value)} ${on}, above the limit of ${figure(limit)}.`;
  }
  const name = figureOf({ ...threshold, growsBy: undefined });
  const share = (part: number) => `${figure(part * 100)} %`;
  return (
    `${name} is ${share(value)} higher ${on} (${figure(baseline.updated)}) than on ` +
    `${plural(baseline.devices, "device")} that wait (${figure(baseline.waiting)}); ` +
    `the limit is ${share(limit)}.`
  );
}

function hasEnoughEvidence(threshold: ThresholdPolicy, observation: Observation): boolean {
  const deviceHours = threshold.minimumDeviceHours ?? DEFAULT_MINIMUM_DEVICE_HOURS;
  return (
    observation.devices >= (threshold.minimumDevices ?? 1) && observation.deviceHours >= deviceHours
  );
}
