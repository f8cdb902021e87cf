import { seededRandom } from "../kernel/index.ts";
import { steadyMean } from "../kernel/steady-mean.ts";
import type { StagePlan } from "./gate/index.ts";
import type { RolloutPolicy, ThresholdPolicy } from "./policy.ts";
import { figureOf } from "./policy-checks.ts";
import { taken } from "./taken-together.ts";

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
/** Rollouts that are simulated hour by hour from what devices logged: each costs more. */
const RUNS_BY_HOURS = 200;

/** Devices of an arm whose figures are drawn in a simulated rollout: more would only calm it. */
const MAX_DRAWN = 500;
/** Devices with a figure from which on a spread says something. */
const LEAST_SPREAD = 30;

export interface WolfFacts {
  crashesPerDeviceHour: number;
  /** Share of the devices that are away now. */
  offlineShare: number;
  /** What devices showed of a metric of telemetry in the last day, one figure each. */
  spreads?: ReadonlyMap<string, readonly number[]>;
  /** Error lines of devices in each hour of the last day, a row for each device. */
  errorHours?: readonly (readonly number[])[] | null;
}

/**
 * Limits that would pause good firmware more often than once in twenty rollouts, by simulation with
 * what the fleet shows today: telemetry by the spread of its devices' figures, logs by what devices
 * wrote in each hour of the last day.
 */
export function wolfWarnings(
  policy: RolloutPolicy,
  stages: readonly StagePlan[],
  facts: WolfFacts,
): string[] {
  return policy.thresholds.flatMap((threshold) => {
    const shown = devicesShown(threshold, facts);
    if (shown !== undefined && shown < LEAST_SPREAD) {
      const spoke = `${shown} ${shown === 1 ? "device" : "devices"} of this rollout`;
      return [
        `the limit ${figureOf(threshold)} > ${threshold.growsBy ?? threshold.above} was not tried out: what ` +
          `${spoke} showed in the last day is too little to tell what is usual (${LEAST_SPREAD} are needed). One ` +
          "device may break it alone: leave room above what you see, or ask for more evidence",
      ];
    }
    const share = falseAlarmShare(threshold, stages, facts);
    if (share === null || share <= TOLERATED) return [];
    const percent = Math.round(share * 100);
    return [
      `the limit ${figureOf(threshold)} > ${threshold.growsBy ?? threshold.above} would pause ${percent} % of rollouts of ` +
        "firmware that is no worse than what runs now: raise it, ask for more evidence, or leave " +
        "it to the statistics",
    ];
  });
}

/** Devices by whose figures a limit would be tried out; undefined where it needs none, or none could be read. */
function devicesShown({ metric }: ThresholdPolicy, facts: WolfFacts): number | undefined {
  if (metric === "error-log-rate") return facts.errorHours?.length;
  return facts.spreads?.get(metric)?.length;
}

/** Share of good rollouts that a limit would pause; null where it cannot be simulated. */
export function falseAlarmShare(
  threshold: ThresholdPolicy,
  stages: readonly StagePlan[],
  facts: WolfFacts,
): number | null {
  const random = seededRandom(SEED);
  const draw = () => random.next();
  const spread = facts.spreads?.get(threshold.metric);
  if (spread) {
    if (spread.length < LEAST_SPREAD) return null;
    return alarmShare(() => alarmBySpread(threshold, stages, spread, draw));
  }
  if (threshold.above === undefined) return null;
  const limit = { ...threshold, above: threshold.above };
  // The hours are spread over the stages, each with the devices that it has.
  const hours = Math.max(1, Math.floor(LOOKS_HOURS / Math.max(1, stages.length)));
  if (threshold.metric === "error-log-rate") {
    const { errorHours } = facts;
    if (!errorHours || errorHours.length < LEAST_SPREAD) return null;
    return alarmShare(() => alarmByHours(limit, stages, hours, errorHours, draw), RUNS_BY_HOURS);
  }
  const rate =
    threshold.metric === "crash-rate"
      ? facts.crashesPerDeviceHour
      : threshold.metric === "offline-share"
        ? facts.offlineShare
        : null;
  if (rate === null) return null;
  return alarmShare(() => alarmInRun(limit, stages, hours, rate, draw));
}

function alarmShare(alarm: () => boolean, runs = RUNS): number {
  let alarms = 0;
  for (let run = 0; run < runs; run += 1) if (alarm()) alarms += 1;
  return alarms / runs;
}

/**
 * Whether a limit on error logs breaks where each updated device goes on as devices did yesterday. The
 * devices of a stage begin in the same hour of that day, so that a storm strikes all of them at once.
 */
function alarmByHours(
  threshold: ThresholdPolicy & { above: number },
  stages: readonly StagePlan[],
  hoursEach: number,
  errorHours: readonly (readonly number[])[],
  draw: () => number,
): boolean {
  const any = <T>(list: readonly T[]) => list[Math.floor(draw() * list.length)] as T;
  for (const { cumulativeDevices } of stages) {
    if (cumulativeDevices < (threshold.minimumDevices ?? 1)) continue;
    const rows = Array.from({ length: Math.min(MAX_DRAWN, cumulativeDevices) }, () =>
      any(errorHours),
    );
    const began = Math.floor(draw() * DAY_HOURS);
    const lines = new Array<number>(rows.length).fill(0);
    for (let hour = 1; hour <= Math.min(DAY_HOURS, hoursEach); hour += 1) {
      const at = (began + hour) % DAY_HOURS;
      rows.forEach((row, device) => {
        lines[device] = (lines[device] as number) + (row[at] ?? 0);
      });
      const deviceHours = Math.min(MAX_SAMPLE, cumulativeDevices) * hour;
      if (deviceHours < (threshold.minimumDeviceHours ?? DEFAULT_DEVICE_HOURS)) continue;
      if ((steadyMean(lines) ?? 0) / hour > threshold.above) return true;
    }
  }
  return false;
}

/**
 * Whether a rollout of firmware that changes nothing breaks a limit on telemetry: both arms are drawn
 * from the figures that the fleet shows, once a stage, since a device that stands out does so at every look.
 */
function alarmBySpread(
  threshold: ThresholdPolicy,
  stages: readonly StagePlan[],
  spread: readonly number[],
  draw: () => number,
): boolean {
  const fewest = threshold.minimumDevices ?? 1;
  const total = stages.at(-1)?.cumulativeDevices ?? 0;
  const arm = (devices: number) =>
    taken(
      Array.from(
        { length: Math.min(MAX_DRAWN, devices) },
        () => spread[Math.floor(draw() * spread.length)] as number,
      ),
      threshold.aggregate ?? "mean",
    );
  return stages.some(({ cumulativeDevices }) => {
    const updated = cumulativeDevices < fewest ? undefined : arm(cumulativeDevices);
    if (updated === undefined) return false;
    if (threshold.growsBy === undefined) return updated > (threshold.above as number);
    const left = total - cumulativeDevices;
    const waiting = left < fewest ? undefined : arm(left);
    if (waiting === undefined || waiting === 0) return false;
    return (updated - waiting) / Math.abs(waiting) > threshold.growsBy;
  });
}

function alarmInRun(
  threshold: ThresholdPolicy & { above: number },
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
