import { type RolloutPolicy, rollsBackOnBreach } from "../policy.ts";
import { describeEvidence, duration, figure, plural } from "./sentences.ts";
import { absorb, logEvidenceOf, type Weighed } from "./state.ts";
import { breachedThreshold, breachSentence } from "./thresholds.ts";
import type {
  ArmTotals,
  GateDecision,
  GateFacts,
  GateState,
  MetricNumbers,
  Verdict,
  VerdictNumbers,
} from "./types.ts";

/** Share of α that crashes may spend; the other metrics divide the rest evenly among them. */
const CRASH_SHARE = 0.8;
const HOUR_MS = 3_600_000;
const OTHER_METRICS = ["silence", "update-failure", "error-log", "disconnect"] as const;

/** Metrics that are tested, and the share of α that each may spend: together all of it. */
export function testedMetrics(policy: Pick<RolloutPolicy, "metrics">): Record<string, number> {
  const others = [...OTHER_METRICS, ...(policy.metrics ?? []).map(({ metric }) => metric)];
  const share = (1 - CRASH_SHARE) / others.length;
  return { crash: CRASH_SHARE, ...Object.fromEntries(others.map((metric) => [metric, share])) };
}

/** E from which on something speaks against the firmware: three to one. */
const ADVERSE_EVIDENCE = 3;
/** Share of a stage that may still be underway when the stage counts as settled. */
const UNDERWAY_SHARE = 0.02;
/** Share of a stage that must have ended when age alone promotes it. */
const ENDED_SHARE_FOR_AGE = 0.5;
/** Share of the canaries that must have the update before they speak for the rest. */
const CANARY_SHARE = 0.5;
/** What a stage's own evidence must reach, besides the whole rollout's. */
const STAGE_LIKELIHOOD_RATIO = 0.3;

interface Ruling {
  decision: GateDecision;
  rule: string;
  sentence: string;
}

/**
 * One look: takes in what is new since the last look and says what to do. Pure; the caller stores
 * the state with the verdict and carries the decision out.
 */
export function evaluate(
  policy: RolloutPolicy,
  state: GateState,
  facts: GateFacts,
  nowMs: number,
): { verdict: Verdict; state: GateState } {
  const weighed = absorb(policy, state, facts);
  weighed.state.canariesSinceMs = canariesSince(state, facts, nowMs);
  const ageSeconds = Math.max(0, (nowMs - facts.stageStartedAtMs) / 1000);
  const ruling =
    stopAmongCanaries(policy, weighed.state, facts) ??
    stopByEvidence(policy, weighed, facts) ??
    stopByThreshold(weighed.state, policy, facts) ??
    widen(policy, weighed, facts, { ageSeconds, nowMs });
  const numbers = numbersOf(policy, weighed, facts, ageSeconds);
  return { verdict: { at: nowMs, ...ruling, numbers }, state: weighed.state };
}

/** Absolute stops: among a handful of canaries one brick is proof enough. */
function stopAmongCanaries(
  policy: RolloutPolicy,
  state: GateState,
  facts: GateFacts,
): Ruling | undefined {
  if (!facts.isCanary) return undefined;
  const failures = facts.stageUpdates.failed + treatedRaw(facts, "self-test", "fallback");
  if (failures > state.acknowledged.failures) {
    const kinds = [
      facts.stageUpdates.failed > 0 &&
        `${plural(facts.stageUpdates.failed, "update")} not ended well`,
      treatedRaw(facts, "self-test") > 0 &&
        plural(treatedRaw(facts, "self-test"), "failed self-test"),
      treatedRaw(facts, "fallback") > 0 && plural(treatedRaw(facts, "fallback"), "fallback"),
    ].filter(Boolean);
    return {
      decision: "pause",
      rule: "canary-failure",
      sentence: `Among the canaries: ${kinds.join(", ")}; a single one stops the rollout.`,
    };
  }
  const crashes = treatedRaw(facts, "crash");
  if (crashes - state.acknowledged.crashes >= policy.canaryCrashLimit) {
    return {
      decision: "pause",
      rule: "canary-crashes",
      sentence: `The canaries crashed ${plural(crashes, "time")} on the new firmware; ${policy.canaryCrashLimit} stop the rollout.`,
    };
  }
  return undefined;
}

function stopByEvidence(
  policy: RolloutPolicy,
  weighed: Weighed,
  facts: GateFacts,
): Ruling | undefined {
  for (const [metric, share] of Object.entries(testedMetrics(policy))) {
    const logE = logEvidenceOf(weighed.state, metric);
    const limit = 1 / (policy.alpha * share);
    if (logE < Math.log(limit)) continue;
    return {
      decision: "pause",
      rule: `e-process:${metric}`,
      sentence:
        `${describeEvidence(metric, facts)}; if the new firmware were no worse, evidence this ` +
        `strong would come up in fewer than 1 of ${figure(limit)} rollouts ` +
        `(E = ${figure(Math.exp(logE))}).`,
    };
  }
  return undefined;
}

function stopByThreshold(
  state: GateState,
  policy: RolloutPolicy,
  facts: GateFacts,
): Ruling | undefined {
  const breach = breachedThreshold(
    policy.thresholds,
    facts.observations,
    state.acknowledged.thresholds,
  );
  if (!breach) return undefined;
  const { threshold, observation } = breach;
  return {
    decision: "pause",
    rule: `threshold:${observation.metric}`,
    sentence: breachSentence(threshold, observation),
  };
}

function widen(
  policy: RolloutPolicy,
  weighed: Weighed,
  facts: GateFacts,
  { ageSeconds, nowMs }: { ageSeconds: number; nowMs: number },
): Ruling {
  const soak = soakSeconds(policy, facts);
  const sinceMs = weighed.state.canariesSinceMs ?? nowMs;
  // A slow download is no time in which a canary was well.
  const soakedSeconds = facts.isCanary ? (nowMs - sinceMs) / 1000 : ageSeconds;
  const { stageUpdates: stage } = facts;
  const devices = stage.pending + stage.offered + stage.underway + stage.succeeded + stage.failed;
  const ended = stage.succeeded + stage.failed;
  const go: GateDecision = facts.isFinal ? "finish" : "promote";
  if (devices === 0) {
    return { decision: go, rule: "empty-stage", sentence: `${facts.stageName} has no devices.` };
  }
  if (facts.isHoldback && stage.pending === 0 && stage.underway === 0) {
    const sentence = `The held-back devices have their update: ${plural(facts.updates.succeeded, "device")} updated, ${facts.updates.failed} failed, ${facts.updates.offered} still to come online.`;
    return { decision: "finish", rule: "hold-back", sentence };
  }
  const waiting = notYet(facts, devices, soakedSeconds, soak) ?? tooFewPairs(policy, facts);
  const favour = waiting
    ? undefined
    : favourable(policy, weighed, facts, ended / devices, soakedSeconds);
  if (favour) return { decision: go, ...favour };
  if (ageSeconds >= policy.askAfterSeconds) {
    return {
      decision: "ask",
      rule: "ask-after",
      sentence: `${facts.stageName} has waited ${duration(ageSeconds)} and the evidence neither clears nor condemns the firmware (${describeEvidence("crash", facts)}): a person should decide.`,
    };
  }
  return waiting ?? gathering(policy, weighed, facts);
}

function soakSeconds(policy: RolloutPolicy, facts: GateFacts): number {
  if (facts.isHoldback) return 0;
  return policy.stages[facts.stageIndex]?.minSoakSeconds ?? policy.minSoakSeconds;
}

/** Remembers when the canaries that are to have the update were first seen to have it. */
function canariesSince(state: GateState, facts: GateFacts, nowMs: number): number | null {
  if (!facts.isCanary || state.stageIndex !== facts.stageIndex) return null;
  const { pending, offered, underway, succeeded, failed } = facts.stageUpdates;
  const devices = pending + offered + underway + succeeded + failed;
  const isUpdated =
    facts.fullyOffered && pending === 0 && succeeded > 0 && underway <= devices * UNDERWAY_SHARE;
  return state.canariesSinceMs ?? (isUpdated ? nowMs : null);
}

function notYet(
  facts: GateFacts,
  devices: number,
  soakedSeconds: number,
  soak: number,
): Ruling | undefined {
  const { stageUpdates: stage, stageName } = facts;
  if (!facts.fullyOffered || stage.pending > 0) {
    return {
      decision: "wait",
      rule: "offering",
      sentence: `${stageName}: ${plural(stage.pending, "device")} still to be offered the update.`,
    };
  }
  if (stage.succeeded === 0 || stage.underway > devices * UNDERWAY_SHARE) {
    return {
      decision: "wait",
      rule: "updates-underway",
      sentence: `${stageName}: ${stage.succeeded} of ${plural(devices, "device")} updated, ${stage.underway} underway, ${stage.offered} offered and not yet heard of.`,
    };
  }
  if (facts.isCanary && stage.succeeded < devices * CANARY_SHARE) {
    return {
      decision: "wait",
      rule: "too-few-canaries",
      sentence: `${stageName}: only ${stage.succeeded} of ${plural(devices, "canary", "canaries")} have the update; so few cannot vouch for the fleet.`,
    };
  }
  if (facts.isCanary && facts.stageAbsent > 0) {
    return {
      decision: "wait",
      rule: "canaries-silent",
      sentence: `${stageName} waits: ${facts.stageAbsent} of ${plural(stage.succeeded, "updated canary", "updated canaries")} cannot be heard, and who is silent is not known to be well.`,
    };
  }
  if (facts.unobserved.length > 0) {
    return {
      decision: "wait",
      rule: "metrics-unavailable",
      sentence: `${stageName} waits: ${facts.unobserved.join(", ")} cannot be read at the moment.`,
    };
  }
  if (soakedSeconds >= soak) return undefined;
  return {
    decision: "wait",
    rule: "min-soak",
    sentence: `${stageName} soaks for at least ${duration(soak)}; ${duration(soak - soakedSeconds)} to go.`,
  };
}

/** A figure that was asked for has to be compared before the stage speaks for the rest. */
function tooFewPairs(policy: RolloutPolicy, facts: GateFacts): Ruling | undefined {
  if (facts.isCanary || facts.isHoldback) return undefined;
  for (const { metric, minimumPairs = 0 } of policy.metrics ?? []) {
    const totals = facts.evidence[metric];
    const pairs = (totals?.treated.events ?? 0) + (totals?.control.events ?? 0);
    if (pairs >= minimumPairs) continue;
    return {
      decision: "wait",
      rule: "minimum-evidence",
      sentence: `${facts.stageName} waits: ${metric} has been compared on ${plural(pairs, "pair")} of devices, and ${figure(minimumPairs)} are asked for.`,
    };
  }
  return undefined;
}

/** Why the stage may widen now, if it may. */
function favourable(
  policy: RolloutPolicy,
  weighed: Weighed,
  facts: GateFacts,
  endedShare: number,
  ageSeconds: number,
): { rule: string; sentence: string } | undefined {
  const crash = describeEvidence("crash", facts);
  if (facts.isCanary) {
    const sentence = `${facts.stageName}: ${plural(facts.stageUpdates.succeeded, "canary", "canaries")} updated and well for ${duration(ageSeconds)}.`;
    return { rule: "canaries-well", sentence };
  }
  const logRatio = weighed.state.processes.crash?.logRatio ?? 0;
  // The last stage's control is the small hold-back: its own evidence would take days.
  const proven =
    logRatio <= Math.log(policy.promoteLikelihoodRatio) &&
    (facts.isLast || weighed.state.stageLogRatio <= Math.log(STAGE_LIKELIHOOD_RATIO));
  if (proven && !isAdverse(policy, weighed)) {
    return {
      rule: "evidence",
      sentence: `${crash}; "${policy.rateRatio} times worse" has become ${figure(Math.exp(-logRatio))} times less likely than "no worse".`,
    };
  }
  const { maxSoakSeconds } = policy;
  if (maxSoakSeconds === null || ageSeconds < maxSoakSeconds) return undefined;
  if (endedShare < ENDED_SHARE_FOR_AGE || isAdverse(policy, weighed)) return undefined;
  return {
    rule: "max-soak",
    sentence: `${facts.stageName} has soaked ${duration(ageSeconds)} and nothing speaks against the firmware: ${crash}.`,
  };
}

function isAdverse(policy: RolloutPolicy, weighed: Weighed): boolean {
  return Object.keys(testedMetrics(policy)).some(
    (metric) => logEvidenceOf(weighed.state, metric) >= Math.log(ADVERSE_EVIDENCE),
  );
}

function gathering(policy: RolloutPolicy, weighed: Weighed, facts: GateFacts): Ruling {
  const logRatio = weighed.state.processes.crash?.logRatio ?? 0;
  return {
    decision: "wait",
    rule: "gathering-evidence",
    sentence: `${describeEvidence("crash", facts)}; the likelihood ratio of "${policy.rateRatio} times worse" is ${figure(Math.exp(logRatio))} and has to fall to ${figure(policy.promoteLikelihoodRatio)}.`,
  };
}

function numbersOf(
  policy: RolloutPolicy,
  weighed: Weighed,
  facts: GateFacts,
  ageSeconds: number,
): VerdictNumbers {
  const metrics: Record<string, MetricNumbers> = {};
  for (const [metric, share] of Object.entries(testedMetrics(policy))) {
    const arm = (which: "treated" | "control") => ({
      events:
        metric === "update-failure"
          ? which === "treated"
            ? facts.updates.failed
            : 0
          : (facts.evidence[metric]?.[which].events ?? 0),
      deviceHours: (facts.evidence.crash?.[which].exposureMs ?? 0) / HOUR_MS,
    });
    metrics[metric] = {
      treated: arm("treated"),
      control: arm("control"),
      eValue: finite(Math.exp(logEvidenceOf(weighed.state, metric))),
      likelihoodRatio: finite(Math.exp(weighed.state.processes[metric]?.logRatio ?? 0)),
      pauseAt: 1 / (policy.alpha * share),
    };
  }
  return {
    metrics,
    updates: facts.updates,
    excluded: { ...facts.excluded },
    observations: [...facts.observations],
    ...(facts.cohorts ? { cohorts: crashesByCohort(facts.cohorts) } : {}),
    stageAgeSeconds: ageSeconds,
  };
}

function crashesByCohort(
  cohorts: NonNullable<GateFacts["cohorts"]>,
): NonNullable<VerdictNumbers["cohorts"]> {
  const numbers: NonNullable<VerdictNumbers["cohorts"]> = {};
  for (const [cohort, { crash }] of Object.entries(cohorts)) {
    if (!crash) continue;
    const arm = ({ events, exposureMs }: ArmTotals) => ({
      events,
      deviceHours: exposureMs / HOUR_MS,
    });
    numbers[cohort] = { treated: arm(crash.treated), control: arm(crash.control) };
  }
  return numbers;
}

/** JSON has no infinity, and overwhelming evidence must not read as none. */
function finite(value: number): number {
  return Math.min(value, Number.MAX_VALUE);
}

function treatedRaw(facts: GateFacts, ...metrics: string[]): number {
  return metrics.reduce((sum, metric) => sum + (facts.evidence[metric]?.treated.rawEvents ?? 0), 0);
}

/** Whether a verdict sends devices back and does not only pause. */
export function callsForRollback(policy: RolloutPolicy, verdict: Verdict): boolean {
  return verdict.decision === "pause" && rollsBackOnBreach(policy);
}
