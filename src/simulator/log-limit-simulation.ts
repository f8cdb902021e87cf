import { type Random, seededRandom } from "../kernel/index.ts";
import { steadyMean } from "../kernel/steady-mean.ts";
import {
  completePolicy,
  evaluate,
  falseAlarmShare,
  type GateFacts,
  initialGateState,
  planStages,
  type RolloutPolicy,
} from "../rollouts/index.ts";

/**
 * Rollouts that are stopped by a plain limit on error logs alone, through the gate that the product
 * runs: how often good firmware is stopped, how soon firmware that logs more, and whether the
 * warning of a plan comes where it should. Devices write in bursts; a tenth of them is noisy.
 */

export interface LogLimitSimulation {
  /** The limit as a multiple of what the fleet writes. */
  timesUsual: number;
  minimumDevices: number;
  runs: number;
  falsePauseRate: number;
  /** What a plan's warning says that rate is. */
  foretold: number | null;
  x3Stopped: number;
  x3HoursP50: number | null;
  x10Stopped: number;
  x10HoursP50: number | null;
}

const DEVICES = 10_000;
const SAMPLE = 2_000;
const NOISY_SHARE = 0.1;
const BURSTS_PER_HOUR = { noisy: 0.1, quiet: 0.005 };
const MEAN_BURST = 4;
const USUAL =
  MEAN_BURST * (NOISY_SHARE * BURSTS_PER_HOUR.noisy + (1 - NOISY_SHARE) * BURSTS_PER_HOUR.quiet);
const MAX_HOURS = 30 * 24;
const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;

export function simulateLogLimit(
  timesUsual: number,
  minimumDevices: number,
  runs: number,
  seed = 1,
): LogLimitSimulation {
  const policy = completePolicy({
    maxSoakSeconds: 12 * 3_600,
    evaluateEverySeconds: 3_600,
    thresholds: [{ metric: "error-log-rate", above: timesUsual * USUAL, minimumDevices }],
  });
  const outcomes = (factor: number) =>
    Array.from({ length: runs }, (_, run) => simulate(policy, factor, seededRandom(seed + run)));
  const stopped = (ends: readonly (number | null)[]) =>
    ends.filter((hours): hours is number => hours !== null).sort((left, right) => left - right);
  const good = stopped(outcomes(1));
  const x3 = stopped(outcomes(3));
  const x10 = stopped(outcomes(10));
  const middle = (hours: number[]) => hours[Math.floor(hours.length / 2)] ?? null;
  return {
    timesUsual,
    minimumDevices,
    runs,
    falsePauseRate: good.length / runs,
    foretold: foretell(policy, seededRandom(seed)),
    x3Stopped: x3.length / runs,
    x3HoursP50: middle(x3),
    x10Stopped: x10.length / runs,
    x10HoursP50: middle(x10),
  };
}

/** Hours until the rollout was stopped; null where it came to its end. */
function simulate(policy: RolloutPolicy, factor: number, random: Random): number | null {
  const stages = planStages(policy, DEVICES);
  const noisy = Array.from({ length: DEVICES }, () => random.next() < NOISY_SHARE);
  const updatedAt: number[] = [];
  const written = new Map<number, number[]>();
  let state = initialGateState();
  let stageIndex = 0;
  let stageStartedAtMs = 0;
  for (let hour = 1; hour <= MAX_HOURS; hour += 1) {
    const stage = stages[stageIndex] as (typeof stages)[number];
    while (updatedAt.length < stage.cumulativeDevices) updatedAt.push(hour - 1);
    // The latest to be updated, as the product reads them.
    const first = Math.max(0, updatedAt.length - SAMPLE);
    const lines: number[] = [];
    let deviceHours = 0;
    for (let device = first; device < updatedAt.length; device += 1) {
      const own = written.get(device) ?? [];
      own.push(linesInHour(noisy[device] as boolean, factor, random));
      if (own.length > DAY_HOURS) own.shift();
      written.set(device, own);
      lines.push(own.reduce((sum, count) => sum + count, 0));
      deviceHours += own.length;
    }
    const value = ((steadyMean(lines) ?? 0) * lines.length) / deviceHours;
    const nowMs = hour * HOUR_MS;
    const facts = factsOf(stages, stageIndex, stageStartedAtMs, {
      metric: "error-log-rate",
      devices: lines.length,
      deviceHours,
      value,
    });
    const { verdict, state: next } = evaluate(policy, state, facts, nowMs);
    state = next;
    if (verdict.decision === "pause") return hour;
    if (verdict.decision === "finish" || verdict.decision === "ask") return null;
    if (verdict.decision === "promote") {
      stageIndex += 1;
      stageStartedAtMs = nowMs;
    }
  }
  return null;
}

/** Bursts by chance, each of one or more lines, fewer of them the longer. */
function linesInHour(isNoisy: boolean, factor: number, random: Random): number {
  const chance = (isNoisy ? BURSTS_PER_HOUR.noisy : BURSTS_PER_HOUR.quiet) * factor;
  let lines = 0;
  for (let left = chance; left > 0; left -= 1) {
    if (random.next() >= Math.min(1, left)) continue;
    // Geometric: one and more, of the mean that is asked for.
    lines += 1 + Math.floor(Math.log(1 - random.next()) / Math.log(1 - 1 / MEAN_BURST));
  }
  return lines;
}

/** As a plan does it: from the last day of a thousand devices. */
function foretell(policy: RolloutPolicy, random: Random): number | null {
  const errorHours = Array.from({ length: 1_000 }, () => {
    const isNoisy = random.next() < NOISY_SHARE;
    return Array.from({ length: DAY_HOURS }, () => linesInHour(isNoisy, 1, random));
  });
  const [threshold] = policy.thresholds;
  if (!threshold) return null;
  const facts = { crashesPerDeviceHour: 0, offlineShare: 0, errorHours };
  return falseAlarmShare(threshold, planStages(policy, DEVICES), facts);
}

function factsOf(
  stages: ReturnType<typeof planStages>,
  stageIndex: number,
  stageStartedAtMs: number,
  observation: GateFacts["observations"][number],
): GateFacts {
  const stage = stages[stageIndex] as (typeof stages)[number];
  const before = stages[stageIndex - 1]?.cumulativeDevices ?? 0;
  const counts = (pending: number, succeeded: number) => ({
    pending,
    offered: 0,
    underway: 0,
    succeeded,
    failed: 0,
  });
  const updated = stage.cumulativeDevices;
  return {
    stageIndex,
    stageName: stage.name,
    stageStartedAtMs,
    isCanary: stageIndex === 0,
    isLast: stageIndex === stages.length - 2,
    isFinal: stageIndex === stages.length - 1,
    isHoldback: stage.isHoldback,
    fullyOffered: true,
    evidence: {},
    stageAbsent: 0,
    stageUpdates: counts(0, updated - before),
    updates: counts(DEVICES - updated, updated),
    excluded: {},
    observations: [observation],
    unobserved: [],
  };
}

/** Limits as people write them, with and without evidence that they wait for. */
export const LOG_LIMITS = [
  { timesUsual: 2, minimumDevices: 1 },
  { timesUsual: 2, minimumDevices: 400 },
  { timesUsual: 5, minimumDevices: 1 },
] as const;
