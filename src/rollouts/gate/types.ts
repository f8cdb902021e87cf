import type { RolloutPolicy } from "../policy.ts";
import type { Process } from "./e-process.ts";

/** What is counted of one arm since the rollout began. */
export interface ArmTotals {
  /** At most one a device in 24 hours, so that no single device can speak for the fleet. */
  events: number;
  /** Every one of them. */
  rawEvents: number;
  exposureMs: number;
}

export interface MetricTotals {
  treated: ArmTotals;
  control: ArmTotals;
}

/** How many devices stand where, since the rollout began. */
export interface UpdateCounts {
  /** Not started. */
  pending: number;
  /** Offered and not heard of since. */
  offered: number;
  /** Downloading to confirming. */
  underway: number;
  succeeded: number;
  /** Failed, fell back, refused or silent. */
  failed: number;
}

/** A figure of the updated devices that a plain threshold is held against. */
export interface Observation {
  /** As `figureOf` names it. */
  metric: string;
  value: number;
  devices: number;
  deviceHours: number;
  /** Of a growth: the figure on both sides, and the devices that wait. */
  baseline?: { updated: number; waiting: number; devices: number };
}

/** Everything that the gate looks at. */
export interface GateFacts {
  stageIndex: number;
  stageName: string;
  stageStartedAtMs: number;
  /** The first stage of a rollout that widens: absolute stops hold, no evidence is asked for. */
  isCanary: boolean;
  /** The last stage before the hold-back. */
  isLast: boolean;
  /** No stage comes after this one (few devices may leave nothing to hold back): it ends in `finish`. */
  isFinal: boolean;
  /** Only the held-back devices are left: there is nothing to compare with any more. */
  isHoldback: boolean;
  /** Whether every device of the stage has been offered its update (a ramp is over). */
  fullyOffered: boolean;
  evidence: Readonly<Record<string, MetricTotals>>;
  /** The same by hardware revision and region; without it the fleet is weighed as one. */
  cohorts?: Readonly<Record<string, Readonly<Record<string, MetricTotals>>>>;
  /** Of the present stage. */
  stageUpdates: UpdateCounts;
  /** Devices of the present stage that run the new image and have fallen silent. */
  stageAbsent: number;
  /** Of the whole rollout. */
  updates: UpdateCounts;
  /** Devices left out of both arms, by reason. */
  excluded: Readonly<Record<string, number>>;
  observations: readonly Observation[];
  /** Metrics of thresholds that could not be read just now: nothing widens without them. */
  unobserved: readonly string[];
}

/** What the gate remembers from look to look; plain JSON. */
export interface GateState {
  stageIndex: number;
  /** Totals that the processes have taken in. */
  seen: Record<string, { treated: ArmTotals; control: ArmTotals }>;
  /** The same by cohort. */
  seenCohorts?: Record<string, Record<string, { treated: ArmTotals; control: ArmTotals }>>;
  seenTrials: { failures: number; successes: number };
  processes: Record<string, Process>;
  /** Stakes of the sign tests, by metric. */
  signs?: Record<string, number[]>;
  /** Log likelihood ratio of the crash metric from this stage alone. */
  stageLogRatio: number;
  /** When the canaries were first seen to have their update, null before; their soak counts from it. */
  canariesSinceMs?: number | null;
  /** What a person has seen and accepted by resuming: it does not trigger again. */
  acknowledged: { failures: number; crashes: number; thresholds: Record<string, number> };
}

export type GateDecision = "wait" | "promote" | "pause" | "ask" | "finish";

export interface MetricNumbers {
  treated: { events: number; deviceHours: number };
  control: { events: number; deviceHours: number };
  eValue: number;
  /** Null where no ratio is kept. */
  likelihoodRatio: number;
  pauseAt: number;
}

export interface VerdictNumbers {
  metrics: Record<string, MetricNumbers>;
  updates: UpdateCounts;
  excluded: Record<string, number>;
  observations: Observation[];
  /** Crashes of both arms by hardware revision and region: each is compared with its like. */
  cohorts?: Record<string, Pick<MetricNumbers, "treated" | "control">>;
  stageAgeSeconds: number;
}

/** Everything that a look follows from; with it the look can be repeated. */
export interface VerdictBasis {
  policy: RolloutPolicy;
  state: GateState;
  facts: GateFacts;
}

/** The gate's word: what to do, by which rule, in a sentence, with all numbers. */
export interface Verdict {
  at: number;
  decision: GateDecision;
  rule: string;
  sentence: string;
  numbers: VerdictNumbers;
}
