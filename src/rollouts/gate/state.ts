import type { RolloutPolicy } from "../policy.ts";
import {
  freshProcess,
  logEvidence,
  logSignEvidence,
  type Process,
  weighSigns,
  weighTosses,
  weighTrials,
} from "./e-process.ts";
import type { ArmTotals, GateFacts, GateState, MetricTotals } from "./types.ts";

/** Metrics whose events are tossed between the arms. */
const TOSSED_METRICS = ["crash", "silence", "error-log", "disconnect"] as const;
const NOTHING: ArmTotals = { events: 0, rawEvents: 0, exposureMs: 0 };

export interface Weighed {
  state: GateState;
}

export function initialGateState(): GateState {
  return {
    stageIndex: 0,
    seen: {},
    seenTrials: { failures: 0, successes: 0 },
    processes: {},
    stageLogRatio: 0,
    acknowledged: { failures: 0, crashes: 0, thresholds: {} },
  };
}

/**
 * The state after a person has resumed: what was seen stays seen and does not trigger again; the
 * tests start afresh on what comes from now on.
 */
export function acknowledge(facts: GateFacts): GateState {
  const raw = (metric: string) => facts.evidence[metric]?.treated.rawEvents ?? 0;
  return {
    stageIndex: facts.stageIndex,
    seen: Object.fromEntries(
      Object.entries(facts.evidence).map(([metric, totals]) => [metric, { ...totals }]),
    ),
    ...(facts.cohorts ? { seenCohorts: structuredClone(facts.cohorts) as SeenCohorts } : {}),
    seenTrials: { failures: facts.updates.failed, successes: facts.updates.succeeded },
    processes: {},
    stageLogRatio: 0,
    acknowledged: {
      failures: facts.stageUpdates.failed + raw("self-test") + raw("fallback"),
      crashes: raw("crash"),
      thresholds: Object.fromEntries(
        facts.observations.map((observation) => [observation.metric, observation.value]),
      ),
    },
  };
}

/** Takes in what the facts hold beyond what the state has seen. */
export function absorb(policy: RolloutPolicy, state: GateState, facts: GateFacts): Weighed {
  const next: GateState = {
    ...state,
    stageIndex: facts.stageIndex,
    seen: { ...state.seen },
    processes: { ...state.processes },
    stageLogRatio: state.stageIndex === facts.stageIndex ? state.stageLogRatio : 0,
  };
  for (const metric of TOSSED_METRICS) {
    if (facts.cohorts) absorbCohorts(policy, next, metric, facts.cohorts);
    else absorbTosses(policy, next, metric, facts.evidence[metric], next.seen);
  }
  absorbTrials(policy, next, facts);
  for (const { metric } of policy.metrics ?? []) absorbPairs(next, metric, facts.evidence[metric]);
  return { state: next };
}

type Seen = GateState["seen"];
type SeenCohorts = NonNullable<GateState["seenCohorts"]>;

/**
 * Each device is compared with its like: an event's chance of coming from an updated device is its
 * own cohort's. A hardware revision that crashes more and is updated first then speaks for nobody.
 */
function absorbCohorts(
  policy: RolloutPolicy,
  state: GateState,
  metric: string,
  cohorts: NonNullable<GateFacts["cohorts"]>,
): void {
  const known: SeenCohorts = { ...state.seenCohorts };
  for (const [cohort, metrics] of Object.entries(cohorts)) {
    const seen: Seen = { ...known[cohort] };
    absorbTosses(policy, state, metric, metrics[metric], seen);
    known[cohort] = seen;
  }
  state.seenCohorts = known;
}

/** `known` is what has been taken in before, and takes in these totals. */
function absorbTosses(
  policy: RolloutPolicy,
  state: GateState,
  metric: string,
  totals: MetricTotals | undefined,
  known: Seen,
): void {
  if (!totals) return;
  const seen = known[metric] ?? { treated: NOTHING, control: NOTHING };
  const treated = gained(totals.treated, seen.treated);
  const control = gained(totals.control, seen.control);
  if (treated.exposureMs <= 0) {
    // A treated event before any treated time has been counted waits for the next look; the
    // control's time goes by, or it would stand against exposure of a later hour.
    known[metric] = { treated: seen.treated, control: totals.control };
    return;
  }
  known[metric] = totals;
  if (control.exposureMs <= 0) return; // Nothing to compare with.
  const process = state.processes[metric] ?? freshProcess();
  const nullShare = treated.exposureMs / (treated.exposureMs + control.exposureMs);
  const toss = { treated: treated.events, control: control.events, nullShare };
  const weighed = weighTosses(process, toss, policy.rateRatio);
  state.processes[metric] = weighed;
  if (metric === "crash") state.stageLogRatio += weighed.logRatio - process.logRatio;
}

/** Pairs in which the treated device was the worse one, and the others. */
function absorbPairs(state: GateState, metric: string, totals: MetricTotals | undefined): void {
  if (!totals) return;
  const seen = state.seen[metric] ?? { treated: NOTHING, control: NOTHING };
  const worse = gained(totals.treated, seen.treated).events;
  const better = gained(totals.control, seen.control).events;
  state.seen[metric] = totals;
  if (worse + better === 0) return;
  const stakes = state.signs?.[metric] ?? [];
  state.signs = { ...state.signs, [metric]: weighSigns(stakes, { worse, better }) };
}

/** Updates that ended: a good firmware fails no more than the tolerated share of them. */
function absorbTrials(policy: RolloutPolicy, state: GateState, facts: GateFacts): void {
  const { failed, succeeded } = facts.updates;
  const failures = Math.max(0, failed - state.seenTrials.failures);
  const successes = Math.max(0, succeeded - state.seenTrials.successes);
  if (failures === 0 && successes === 0) return;
  const tolerated = policy.toleratedFailureShare;
  const process = state.processes["update-failure"] ?? freshProcess();
  const trials = { failures, successes, tolerated };
  state.processes["update-failure"] = weighTrials(process, trials, policy.rateRatio);
  state.seenTrials = {
    failures: Math.max(failed, state.seenTrials.failures),
    successes: Math.max(succeeded, state.seenTrials.successes),
  };
}

/** The memory of ends that are taken back: those devices begin anew and will end once more. */
export function takenBack(
  state: GateState,
  { failed, inStage, succeeded }: { failed: number; inStage: number; succeeded: number },
): GateState {
  const { seenTrials, acknowledged } = state;
  return {
    ...state,
    seenTrials: {
      failures: Math.max(0, seenTrials.failures - failed),
      successes: Math.max(0, seenTrials.successes - succeeded),
    },
    acknowledged: { ...acknowledged, failures: Math.max(0, acknowledged.failures - inStage) },
  };
}

function gained(now: ArmTotals, before: ArmTotals): { events: number; exposureMs: number } {
  return {
    events: Math.max(0, now.events - before.events),
    exposureMs: Math.max(0, now.exposureMs - before.exposureMs),
  };
}

/** Log of E for a metric; zero (E = 1) before anything has been weighed. */
export function logEvidenceOf(state: GateState, metric: string): number {
  const signs = state.signs?.[metric];
  if (signs) return logSignEvidence(signs);
  const process: Process | undefined = state.processes[metric];
  return process ? logEvidence(process) : 0;
}
