import { seededRandom } from "../kernel/index.ts";
import type { StagePlan } from "./gate/index.ts";
import type { RolloutPolicy, ThresholdPolicy } from "./policy.ts";

/** Rollouts that are simulated for each limit, of firmware that is no worse than what runs. */
const RUNS = 400;
/** Above this share of good rollouts paused, a limit is said to cry wolf. */
const TOLERATED = 0.05;
const SEED = 20_261_129;
const LOOKS_HOURS = 72;
const DAY_HOURS = 24;
/** Devices that a figure is taken over at most, and evidence that counts where none is named. */
const MAX_SAMPLE = 2_000;
const DEFAULT_DEVICE_HOURS = 24;

export interface WolfFacts {
  crashesPerDeviceHour: number;
  /** Share of the devices that are away now. */
  offlineShare: number;
}

/**
 * Limits that would pause good firmware more often than once in twenty rollouts, by simulation with
 * what the fleet shows today. A limit on a figure of telemetry or logs is not simulated: of its
 * spread nothing is known.
 */
export function wolfWarnings(
  policy: RolloutPolicy,
  stages: readonly StagePlan[],
  facts: WolfFacts,
): string[] {
  return policy.thresholds.flatMap((threshold) => {
    const share = falseAlarmShare(threshold, stages, facts);
    if (share === null || share <= TOLERATED) return [];
    const percent = Math.round(share * 100);
    return [
      `the limit ${threshold.metric} > ${threshold.above} would pause ${percent} % of rollouts of ` +
        "firmware that is no worse than what runs now: raise it, ask for more evidence, or leave " +
        "it to the statistics",
    ];
  });
}

/** Share of good rollouts that a limit would pause; null where it cannot be simulated. */
export function falseAlarmShare(
  threshold: ThresholdPolicy,
  stages: readonly StagePlan[],
  facts: WolfFacts,
): number | null {
  const rate =
    threshold.metric === "crash-rate"
      ? facts.crashesPerDeviceHour
      : threshold.metric === "offline-share"
        ? facts.offlineShare
        : null;
  if (rate === null) return null;
  const random = seededRandom(SEED);
  // The hours are spread over the stages, each with the devices that it has.
  const hours = Math.max(1, Math.floor(LOOKS_HOURS / Math.max(1, stages.length)));
  let alarms = 0;
  for (let run = 0; run < RUNS; run += 1) {
    if (alarmInRun(threshold, stages, hours, rate, () => random.next())) alarms += 1;
  }
  return alarms / RUNS;
}

function alarmInRun(
  threshold: ThresholdPolicy,
  stages: readonly StagePlan[],
  hoursEach: number,
  rate: number,
  draw: () => number,
): boolean {
  for (const stage of stages) {
    const devices = Math.min(MAX_SAMPLE, stage.cumulativeDevices);
    if (devices < (threshold.minimumDevices ?? 1)) continue;
    const counts: number[] = [];
    for (let hour = 1; hour <= hoursEach; hour += 1) {
      const inWindow = Math.min(DAY_HOURS, hour);
      const deviceHours = devices * inWindow;
      const isShare = threshold.metric === "offline-share";
      counts.push(events(devices * rate, draw));
      if (deviceHours < (threshold.minimumDeviceHours ?? DEFAULT_DEVICE_HOURS)) continue;
      const seen = counts.slice(-DAY_HOURS).reduce((sum, count) => sum + count, 0);
      const value = isShare
        ? (counts.at(-1) as number) / devices
        : (Math.min(seen, devices) * DAY_HOURS) / deviceHours;
      if (value > threshold.above) return true;
    }
  }
  return false;
}

/** A Poisson draw; for large means the normal one beside it. */
function events(mean: number, draw: () => number): number {
  if (mean > 50) {
    const normal = Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
    return Math.max(0, Math.round(mean + normal * Math.sqrt(mean)));
  }
  let count = 0;
  let product = draw();
  const floor = Math.exp(-mean);
  for (; product > floor && count < 1_000; count += 1) product *= draw();
  return count;
}
