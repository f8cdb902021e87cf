import { parseArgs } from "node:util";
import { type Random, randomInteger, seededRandom } from "../kernel/index.ts";
import {
  completePolicy,
  evaluate,
  type GateFacts,
  initialGateState,
  planStages,
  type RolloutPolicy,
  releasedDevices,
  type UpdateCounts,
} from "../rollouts/index.ts";
import { LOG_LIMITS, simulateLogLimit } from "./log-limit-simulation.ts";

/**
 * Thousands of rollouts through the very gate that the product runs, on a fleet of 10,000 devices
 * that crash 0.5 % of a day each: how often a good firmware is paused, and how many devices had a
 * bad one before it was. Events fall at random in time; everything follows from the seed.
 */

export const SCENARIOS = ["good", "x3", "x10", "shock", "chronic"] as const;
export const MODES = ["stepped", "ramped"] as const;
export type Scenario = (typeof SCENARIOS)[number];
export type Mode = (typeof MODES)[number];

export interface GateSimulation {
  scenario: Scenario;
  mode: Mode;
  runs: number;
  falsePauseRate: number | null;
  exposedMean: number | null;
  exposedP50: number | null;
  exposedP95: number | null;
  hoursToPauseP50: number | null;
  goodRolloutHoursP50: number | null;
  /** Share of the runs that were paused while at most 5 % of the fleet had the image. */
  stoppedAtFivePercent: number | null;
}

const DEVICES = 10_000;
const CRASHES_PER_DEVICE_HOUR = 0.005 / 24;
const HOUR_MS = 3_600_000;
const RAMP_SECONDS = 24 * 3_600;
/** A rollout that takes longer counts as neither paused nor done. */
const MAX_HOURS = 30 * 24;
/** Fleet-wide storms: one in four days, six hours long, ten times the crashes. */
const SHOCK = { perHour: 1 / 96, hours: 6, factor: 10 };
/** One device in a hundred crashes on its own account, every other day on average. */
const CHRONIC = { share: 0.01, meanCrashesPerDay: 0.5, historyDays: 14, crashesToExclude: 2 };

/** Rollouts under a limit on logs, device by device: each takes a thousand times as long. */
const LOG_RUNS = 200;

/** Results of `runs` rollouts with seeds `seed`, `seed + 1`, ... */
export function simulateGate(
  scenario: Scenario,
  mode: Mode,
  runs: number,
  seed = 1,
  policy = policyFor(mode),
): GateSimulation {
  const paused: { hours: number; exposed: number }[] = [];
  const finished: number[] = [];
  const exposed: number[] = [];
  const factor = scenario === "x3" ? 3 : scenario === "x10" ? 10 : 1;
  for (let run = 0; run < runs; run += 1) {
    const outcome = simulateRollout(policy, scenario, factor, seededRandom(seed + run));
    exposed.push(outcome.exposed);
    if (outcome.end === "paused") paused.push(outcome);
    else if (outcome.end === "finished") finished.push(outcome.hours);
  }
  const good = factor === 1;
  const atFivePercent = paused.filter((outcome) => outcome.exposed <= DEVICES * 0.05);
  return {
    scenario,
    mode,
    runs,
    falsePauseRate: good ? paused.length / runs : null,
    exposedMean: good ? null : round(exposed.reduce((sum, count) => sum + count, 0) / runs),
    exposedP50: good ? null : quantile(exposed, 0.5),
    exposedP95: good ? null : quantile(exposed, 0.95),
    hoursToPauseP50: quantile(
      paused.map((outcome) => outcome.hours),
      0.5,
    ),
    goodRolloutHoursP50: good ? quantile(finished, 0.5) : null,
    stoppedAtFivePercent: good ? null : atFivePercent.length / runs,
  };
}

/** The default policy; `ramped` spreads the 5 % stage's offers over a day. */
export function policyFor(mode: Mode): RolloutPolicy {
  const policy = completePolicy({});
  const stages = policy.stages.map((stage, index) =>
    mode === "ramped" && index === 1 ? { ...stage, rampSeconds: RAMP_SECONDS } : stage,
  );
  return { ...policy, stages };
}

interface Outcome {
  end: "paused" | "finished" | "open";
  hours: number;
  /** Devices that had the image at the end. */
  exposed: number;
}

interface Arm {
  events: number;
  rawEvents: number;
  exposureMs: number;
}

/** Devices that crash on their own account and were not known to when the rollout began. */
interface Chronic {
  ordinal: number;
  crashesPerHour: number;
  lastCountedHours: number;
}

function simulateRollout(
  policy: RolloutPolicy,
  scenario: Scenario,
  factor: number,
  random: Random,
): Outcome {
  const chronic = scenario === "chronic" ? chronicDevices(random) : [];
  const stages = planStages(policy, DEVICES);
  const lookHours = policy.evaluateEverySeconds / 3_600;
  const treated: Arm = { events: 0, rawEvents: 0, exposureMs: 0 };
  const control: Arm = { events: 0, rawEvents: 0, exposureMs: 0 };
  const shock = shocks(scenario, random, lookHours);
  let state = initialGateState();
  let stageIndex = 0;
  let stageStartedAtMs = 0;
  let updated = 0;
  for (let hours = 0; hours < MAX_HOURS; ) {
    const stage = stages[stageIndex] as (typeof stages)[number];
    const before = stages[stageIndex - 1]?.cumulativeDevices ?? 0;
    const ageSeconds = hours * 3_600 - stageStartedAtMs / 1_000;
    const full = stage.cumulativeDevices;
    updated = releasedDevices(policy.stages[stageIndex], before, full, ageSeconds);
    hours += lookHours;
    const rate = CRASHES_PER_DEVICE_HOUR * shock() * lookHours;
    accrue(treated, poisson(random, updated * rate * factor), updated, lookHours);
    accrue(control, poisson(random, (DEVICES - updated) * rate), DEVICES - updated, lookHours);
    crashChronic(chronic, random, updated, hours, lookHours, treated, control);
    const nowMs = Math.round(hours * HOUR_MS);
    const facts = factsOf(stages, stageIndex, stageStartedAtMs, updated, treated, control);
    const result = evaluate(policy, state, facts, nowMs);
    state = result.state;
    if (result.verdict.decision === "pause") return { end: "paused", hours, exposed: updated };
    if (result.verdict.decision === "finish") return { end: "finished", hours, exposed: updated };
    if (result.verdict.decision === "ask") return { end: "open", hours, exposed: updated };
    if (result.verdict.decision === "promote") {
      stageIndex += 1;
      stageStartedAtMs = nowMs;
    }
  }
  return { end: "open", hours: MAX_HOURS, exposed: updated };
}

function accrue(arm: Arm, events: number, devices: number, hours: number): void {
  arm.events += events;
  arm.rawEvents += events;
  arm.exposureMs += devices * hours * HOUR_MS;
}

function factsOf(
  stages: ReturnType<typeof planStages>,
  stageIndex: number,
  stageStartedAtMs: number,
  updated: number,
  treated: Arm,
  control: Arm,
): GateFacts {
  const stage = stages[stageIndex] as (typeof stages)[number];
  const before = stages[stageIndex - 1]?.cumulativeDevices ?? 0;
  const counts = (pending: number, succeeded: number): UpdateCounts => ({
    pending,
    offered: 0,
    underway: 0,
    succeeded,
    failed: 0,
  });
  return {
    stageIndex,
    stageName: stage.name,
    stageStartedAtMs,
    isCanary: stageIndex === 0,
    isLast: stageIndex === stages.length - 2,
    isFinal: stageIndex === stages.length - 1,
    isHoldback: stage.isHoldback,
    fullyOffered: updated === stage.cumulativeDevices,
    evidence: { crash: { treated: { ...treated }, control: { ...control } } },
    stageAbsent: 0,
    stageUpdates: counts(stage.cumulativeDevices - updated, updated - before),
    updates: counts(DEVICES - updated, updated),
    excluded: {},
    observations: [],
    unobserved: [],
  };
}

/** The storm's factor for each look in turn. */
function shocks(scenario: Scenario, random: Random, lookHours: number): () => number {
  let left = 0;
  return () => {
    if (scenario !== "shock") return 1;
    if (left > 0) left -= lookHours;
    else if (random.next() < SHOCK.perHour * lookHours) left = SHOCK.hours;
    return left > 0 ? SHOCK.factor : 1;
  };
}

/** Devices with a rate of their own, less those that their last fortnight gave away. */
function chronicDevices(random: Random): Chronic[] {
  const devices: Chronic[] = [];
  for (let index = 0; index < DEVICES * CHRONIC.share; index += 1) {
    // Exponentially distributed: many that crash now and then, a few that crash all day.
    const perDay = -Math.log(1 - random.next()) * CHRONIC.meanCrashesPerDay;
    const history = poisson(random, perDay * CHRONIC.historyDays);
    if (history >= CHRONIC.crashesToExclude) continue;
    const ordinal = randomInteger(random, DEVICES);
    devices.push({ ordinal, crashesPerHour: perDay / 24, lastCountedHours: -24 });
  }
  return devices;
}

function crashChronic(
  chronic: Chronic[],
  random: Random,
  updated: number,
  hours: number,
  lookHours: number,
  treated: Arm,
  control: Arm,
): void {
  for (const device of chronic) {
    const crashes = poisson(random, device.crashesPerHour * lookHours);
    if (crashes === 0) continue;
    const arm = device.ordinal < updated ? treated : control;
    arm.rawEvents += crashes;
    if (hours - device.lastCountedHours < 24) continue;
    device.lastCountedHours = hours;
    arm.events += 1;
  }
}

/** A Poisson draw by inversion; large means are halved. */
function poisson(random: Random, mean: number): number {
  if (mean <= 0) return 0;
  if (mean > 25) return poisson(random, mean / 2) + poisson(random, mean / 2);
  let count = 0;
  let term = Math.exp(-mean);
  let cumulative = term;
  const draw = random.next();
  while (draw > cumulative && count < 1_000) {
    count += 1;
    term *= mean / count;
    cumulative += term;
  }
  return count;
}

/** The best prototype's figures, which the gate is to beat. Rates and counts at most, shares at least. */
type Figure = "falsePauseRate" | "exposedMean" | "hoursToPauseP50" | "goodRolloutHoursP50";
const GOALS: Record<
  Scenario,
  Record<Mode, Partial<Record<Figure | "stoppedAtFivePercent", number>>>
> = {
  good: {
    stepped: { falsePauseRate: 0.01, goodRolloutHoursP50: 78 },
    ramped: { falsePauseRate: 0.01, goodRolloutHoursP50: 100 },
  },
  shock: { stepped: { falsePauseRate: 0.012 }, ramped: { falsePauseRate: 0.012 } },
  chronic: { stepped: { falsePauseRate: 0.012 }, ramped: { falsePauseRate: 0.012 } },
  x3: {
    stepped: { exposedMean: 600, stoppedAtFivePercent: 0.95 },
    ramped: { stoppedAtFivePercent: 0.95 },
  },
  x10: { stepped: { hoursToPauseP50: 8 }, ramped: { exposedMean: 270 } },
};

export interface Goal {
  figure: string;
  value: number | null;
  goal: number;
  isBeaten: boolean;
}

/** What was measured beside what was to be beaten. */
export function goalsOf(result: GateSimulation): Goal[] {
  return Object.entries(GOALS[result.scenario][result.mode]).map(([figure, goal]) => {
    const value = result[figure as Figure | "stoppedAtFivePercent"];
    const isBeaten =
      value !== null && (figure === "stoppedAtFivePercent" ? value >= goal : value <= goal);
    return { figure, value, goal, isBeaten };
  });
}

function quantile(values: readonly number[], share: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((left, right) => left - right);
  return round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function main(): void {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "2000" },
      seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
    },
  });
  const runs = Number(values.runs);
  const seed = Number(values.seed);
  if (!Number.isSafeInteger(runs) || runs < 1 || !Number.isSafeInteger(seed)) {
    console.error("usage: sim:gate [--runs N] [--seed N] [--json]");
    process.exit(2);
  }
  let missed = 0;
  for (const scenario of SCENARIOS) {
    for (const mode of MODES) {
      const result = simulateGate(scenario, mode, runs, seed);
      console.log(JSON.stringify(result));
      for (const goal of goalsOf(result)) {
        if (!goal.isBeaten) missed += 1;
        console.log(JSON.stringify({ name: `gate.${scenario}.${mode}.${goal.figure}`, ...goal }));
      }
    }
  }
  for (const { timesUsual, minimumDevices } of LOG_LIMITS) {
    const result = simulateLogLimit(timesUsual, minimumDevices, Math.min(runs, LOG_RUNS), seed);
    console.log(JSON.stringify({ name: "gate.log-limit", ...result }));
  }
  // Of few runs a rate of one in a hundred says nothing.
  if (missed > 0 && runs >= 2_000) process.exitCode = 1;
}

if (import.meta.main) main();
