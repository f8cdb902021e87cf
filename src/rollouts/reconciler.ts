import { subjects } from "../bus/index.ts";
import type { Tx } from "../db/index.ts";
import { withSpan } from "../kernel/tracing.ts";
import { joinArrivals } from "./arrivals.ts";
import { accrueExposure } from "./cohorts-store.ts";
import { countPairs, drawAll } from "./comparison.ts";
import { expireDeadlines } from "./deadlines.ts";
import { type Observed, type RolloutFacts, readFacts } from "./facts.ts";
import { evaluate, type GateState, type Verdict, type VerdictBasis } from "./gate/index.ts";
import { goOn, readHops } from "./going-on.ts";
import { hasRetries } from "./going-on-store.ts";
import { countIncidents } from "./incidents.ts";
import { observe } from "./observations.ts";
import {
  type Announcements,
  OFFER_BATCH,
  offerNext,
  remindUntold,
  stepFinished,
} from "./offering.ts";
import { carryOut, type Decision, raiseAlert } from "./outcome.ts";
import { isPaced } from "./pacing-store.ts";
import type { Hop } from "./planning.ts";
import { type RolloutPolicy, rollsBackOnBreach } from "./policy.ts";
import { countPolled, type Polled, pollErrors } from "./polled-events.ts";
import { stepPreparation } from "./preparation.ts";
import { followPresence } from "./presence.ts";
import { retryDeadlocks } from "./retry-deadlocks.ts";
import { beginRollback, stepRollback, stepRolledBack, windDown } from "./rollback.ts";
import {
  beginStage,
  dueRollouts,
  findRollout,
  finishStage,
  lockRollout,
  type RolloutRow,
  updateRollout,
} from "./rollout-store.ts";
import { readStop } from "./stop-store.ts";
import type { RolloutsDeps } from "./types.ts";
import { insertVerdict } from "./verdict-store.ts";
import { cancelIfYanked } from "./yanked.ts";

const MAX_ROLLOUTS = 100;
/** Steps of one rollout in one tick: a rollout with more to do goes on at the next. */
const MAX_STEPS = 20;
/** Of looks that end as the one before, every so many is written down. */
const WAITING_VERDICT_EVERY = 12;
const PACED_LOOK_MS = 5_000;
const WINDOW_LOOK_MS = 60_000;

/** What one step of a rollout said on the bus, and whether there is more to do at once. */
export interface Stepped {
  said: Announcements;
  more: boolean;
  changed: boolean;
  /** The gate is to look, and needs what slow stores hold. */
  wantsLook?: RolloutRow;
}

/**
 * One reconciler tick of a tenant: brings every rollout that is due one step nearer to what its
 * policy wants. It may die at any point and run twice at once: each step is one transaction under
 * the rollout's lock, and what is said on the bus is only a hint to look.
 */
export async function tick(deps: RolloutsDeps, tenantId: string): Promise<void> {
  // What happened comes before what is decided: a gate that cannot count must not widen either.
  if (!(await countIncidents(deps, tenantId))) return;
  await followPresence(deps, tenantId);
  await joinArrivals(deps, tenantId).catch((error) => {
    // Who comes late waits for the next time; the gate must not.
    deps.logger.error({ tenantId, err: error }, "devices could not join their rollouts");
  });
  const due = await deps.db.tenant(tenantId, (tx) =>
    dueRollouts(tx, tenantId, new Date(deps.clock.now()), MAX_ROLLOUTS),
  );
  for (const id of due) {
    try {
      await reconcile(deps, tenantId, id);
    } catch (error) {
      deps.logger.error({ tenantId, rolloutId: id, err: error }, "a rollout could not be moved on");
    }
  }
}

async function reconcile(deps: RolloutsDeps, tenantId: string, id: string): Promise<void> {
  const before = await deps.db.tenant(tenantId, (tx) => findRollout(tx, tenantId, id));
  if (!before) return;
  const attributes = { "vautn.tenant": tenantId, "vautn.rollout": id };
  const work = async () => {
    let observed: Observed | undefined;
    for (let count = 0; count < MAX_STEPS; count += 1) {
      const stepped = await retryDeadlocks(() => step(deps, tenantId, id, observed));
      for (const { subject, message } of stepped.said) deps.bus.publish(subject, message);
      if (stepped.changed) deps.bus.publish(subjects.rollout(tenantId, id), { rolloutId: id });
      if (!stepped.more) return;
      // Read while no lock is held, for the time-series store may be slow, and only for a look.
      observed = stepped.wantsLook ? await gather(deps, stepped.wantsLook) : undefined;
    }
  };
  await withSpan("rollouts.reconcile", attributes, work, { parent: before.traceparent });
}

async function step(
  deps: RolloutsDeps,
  tenantId: string,
  id: string,
  observed: Observed | undefined,
): Promise<Stepped> {
  const known = await deps.db.tenant(tenantId, (tx) => findRollout(tx, tenantId, id));
  const nothing: Stepped = { said: [], more: false, changed: false };
  if (!known) return nothing;
  const isGated = known.state === "running" && known.kind === "update";
  const hops = isGated ? await readHops(deps, known) : [];
  return deps.db.tenant(tenantId, async (tx) => {
    const rollout = await lockRollout(tx, tenantId, id, "skip");
    if (!rollout) return nothing;
    // The next step winds it down.
    if (await cancelIfYanked(deps, tx, rollout)) return { said: [], more: true, changed: true };
    const expired = await expireDeadlines(deps, tx, rollout);
    const stepped = await stepByState(deps, tx, rollout, observed, hops);
    return { ...stepped, changed: stepped.changed || expired > 0 };
  });
}

/** What the gate needs of stores that may be slow. */
async function gather(deps: RolloutsDeps, rollout: RolloutRow): Promise<Observed> {
  const observed = await observe(deps, rollout);
  const { drawn, unread } = await drawAll(deps, rollout);
  const polled = await pollErrors(deps, rollout);
  return { ...observed, unobserved: [...observed.unobserved, ...unread], drawn, polled };
}

function stepByState(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  observed: Observed | undefined,
  hops: readonly Hop[],
): Promise<Stepped> {
  if (rollout.state === "preparing") return stepPreparation(deps, tx, rollout);
  if (rollout.state === "running") {
    return rollout.kind === "rollback"
      ? stepRollback(deps, tx, rollout)
      : stepRunning(deps, tx, rollout, observed, hops);
  }
  if (rollout.state === "rolling-back") return stepRolledBack(deps, tx, rollout);
  if (rollout.state === "cancelled") return windDown(deps, tx, rollout);
  if (rollout.state === "succeeded") return stepFinished(deps, tx, rollout);
  return Promise.resolve({ said: [], more: false, changed: false });
}

async function stepRunning(
  deps: RolloutsDeps,
  tx: Tx,
  locked: RolloutRow,
  observed: Observed | undefined,
  hops: readonly Hop[],
): Promise<Stepped> {
  const now = deps.clock.now();
  const said: Announcements = [];
  const isStopped = (await readStop(tx, locked.tenant_id)) !== null;
  const rollout = { ...locked, gate_state: await goOn(tx, locked, hops, now) };
  if (!isStopped) await remindUntold(tx, rollout, said, now);
  await countPairs(tx, rollout, observed?.drawn ?? [], now);
  if (observed?.polled) await countPolled(tx, rollout, observed.polled);
  await accrue(tx, rollout, now);
  const seen = observed ?? { observations: [], unobserved: [] };
  let facts = await readFacts(tx, rollout, seen, now);
  const touched = facts.counters
    .filter((row) => row.state !== "pending")
    .reduce((sum, row) => sum + row.devices, 0);
  const room = facts.released - touched;
  const offered =
    room > 0 && !isStopped
      ? await offerNext(deps, tx, rollout, rollout.stage_index, room, said)
      : 0;
  const hasMore = offered === OFFER_BATCH && room > OFFER_BATCH;
  if (!observed) return stepWithoutLook(tx, rollout, facts, { said, hasMore, offered, now });
  if (offered > 0) facts = await readFacts(tx, rollout, seen, now);
  const decided = await look(deps, tx, rollout, facts, now, observed.polled);
  return { said, more: decided || hasMore, changed: true };
}

/** After the offers: has the gate look when that is due, and otherwise waits until it is. */
async function stepWithoutLook(
  tx: Tx,
  rollout: RolloutRow,
  facts: RolloutFacts,
  done: { said: Announcements; hasMore: boolean; offered: number; now: number },
): Promise<Stepped> {
  const { said, hasMore, offered, now } = done;
  const policy = rollout.policy as RolloutPolicy;
  const lookMs = rollout.look_due_at?.getTime() ?? now;
  // Offers take a moment and the gate looks when they are out; to a fleet they may take longer.
  const isOverdue = lookMs + policy.evaluateEverySeconds * 1_000 <= now;
  const wantsLook = hasMore ? isOverdue : lookMs <= now;
  const nextMs = hasMore || wantsLook ? now : Math.min(lookMs, now + lookAfterMs(policy, facts));
  await updateRollout(tx, rollout.tenant_id, rollout.id, {
    accrued_at: new Date(now),
    next_evaluation_at: new Date(nextMs),
  });
  const changed = offered > 0;
  return {
    said,
    more: hasMore || wantsLook,
    changed,
    ...(wantsLook ? { wantsLook: rollout } : {}),
  };
}

/** Adds the time since the last step to both arms, by the numbers that stood until now. */
async function accrue(tx: Tx, rollout: RolloutRow, nowMs: number): Promise<void> {
  const elapsedMs = Math.max(0, nowMs - (rollout.accrued_at?.getTime() ?? nowMs));
  if (elapsedMs > 0) await accrueExposure(tx, rollout.tenant_id, rollout.id, elapsedMs);
}

/** One look of the gate. True when it changed the rollout's course. */
async function look(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  facts: RolloutFacts,
  nowMs: number,
  polled: Polled | undefined,
): Promise<boolean> {
  const policy = rollout.policy as RolloutPolicy;
  const gateState = rollout.gate_state as GateState;
  const { verdict, state } = evaluate(policy, gateState, facts.gate, nowMs);
  const base = {
    gate_state: JSON.stringify(state),
    accrued_at: new Date(nowMs),
    looks: rollout.looks + 1,
    look_due_at: new Date(nowMs + policy.evaluateEverySeconds * 1_000),
    next_evaluation_at: new Date(nowMs + lookAfterMs(policy, facts)),
    ...(polled ? { polled_at: new Date(polled.untilMs) } : {}),
  };
  const basis = { policy, state: gateState, facts: facts.gate };
  const { at: judgedAt, rule, sentence, numbers } = verdict;
  const event = { at: judgedAt, rule, sentence, numbers, basis };
  switch (verdict.decision) {
    case "wait":
      await noteWaiting(tx, rollout, verdict, base, basis);
      return false;
    case "promote": {
      const next = rollout.stage_index + 1;
      const at = new Date(nowMs);
      const due = { look_due_at: at, next_evaluation_at: at };
      const changes = { ...base, ...due, stage_index: next, stage_started_at: at };
      const outcome = { changes, event: "vautn.rollout.promoted" as const };
      await carryOut(deps, tx, rollout, { decision: "promote", ...event }, outcome);
      await beginStage(tx, rollout.tenant_id, rollout.id, next, at);
      return true;
    }
    case "finish":
      if (rollout.is_dynamic) {
        await noteWaiting(tx, rollout, staysOpen(verdict), base, undefined);
        return false;
      }
      if (policy.retry && (await hasRetries(tx, rollout.tenant_id, rollout.id, policy.retry))) {
        await noteWaiting(tx, rollout, waitsForRetries(verdict), base, undefined);
        return false;
      }
      await finish(deps, tx, rollout, { decision: "finish", ...event }, base, nowMs);
      return true;
    case "pause":
    case "ask":
      await halt(deps, tx, rollout, { ...verdict, basis }, base, nowMs);
      return true;
  }
}

/** Where a pace holds offers back, places become free long before the gate's next look. */
function lookAfterMs(policy: RolloutPolicy, { gate }: RolloutFacts): number {
  const everyMs = policy.evaluateEverySeconds * 1_000;
  const { pending, offered } = gate.stageUpdates;
  if (!isPaced(policy) || pending + offered === 0) return everyMs;
  // A window opens by the minute; devices that are away are reminded when they are back.
  const hasPlaces = Boolean(policy.disruption ?? policy.maxConcurrent);
  return Math.min(everyMs, hasPlaces && pending > 0 ? PACED_LOOK_MS : WINDOW_LOOK_MS);
}

const OPEN_RULE = "open-for-arrivals";

/** A dynamic rollout has no end of its own: who comes to match later joins it. */
function staysOpen(verdict: Verdict): Verdict {
  const sentence = `${verdict.sentence} It stays open for devices that come to match.`;
  return { ...verdict, decision: "wait", rule: OPEN_RULE, sentence };
}

/** Who failed and may try again is not done, and neither is the rollout. */
function waitsForRetries(verdict: Verdict): Verdict {
  const sentence = `${verdict.sentence} Devices that failed are tried again before it ends.`;
  return { ...verdict, decision: "wait", rule: "retries-due", sentence };
}

type LookChanges = Parameters<typeof updateRollout>[3];

async function noteWaiting(
  tx: Tx,
  rollout: RolloutRow,
  verdict: Verdict,
  changes: LookChanges,
  basis: VerdictBasis | undefined,
): Promise<void> {
  const { tenant_id: tenantId, id } = rollout;
  const previous = rollout.last_verdict as Verdict | null;
  await updateRollout(tx, tenantId, id, { ...changes, last_verdict: JSON.stringify(verdict) });
  const isDue = verdict.rule !== OPEN_RULE && rollout.looks % WAITING_VERDICT_EVERY === 0;
  // A dynamic rollout may stay open for years: that it does is said once.
  if (previous?.rule === verdict.rule && !isDue) return;
  await insertVerdict(tx, tenantId, id, {
    ...verdict,
    at: new Date(verdict.at),
    stageIndex: rollout.stage_index,
    decidedBy: "gate",
    basis,
  });
}

async function finish(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  decision: Decision,
  base: LookChanges,
  nowMs: number,
): Promise<void> {
  const at = new Date(nowMs);
  const changes = {
    ...base,
    state: "succeeded" as const,
    state_reason: decision.sentence,
    finished_at: at,
    // Offers that found no place yet are still reminded; the next step sees whether there are any.
    next_evaluation_at: isPaced(rollout.policy as RolloutPolicy) ? at : null,
  };
  const outcome = { changes, event: "vautn.rollout.succeeded" as const };
  await carryOut(deps, tx, rollout, decision, outcome);
  await finishStage(tx, rollout.tenant_id, rollout.id, rollout.stage_index, at);
}

/** Stops the widening and tells people; sends the devices back at once where the policy says so. */
async function halt(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  verdict: Verdict & { basis: VerdictBasis },
  base: LookChanges,
  nowMs: number,
): Promise<void> {
  const paused = verdict.decision === "pause";
  const { at, decision, rule, sentence, numbers, basis } = verdict;
  const changes = {
    ...base,
    state: paused ? ("paused" as const) : ("needs-decision" as const),
    state_reason: sentence,
    paused_at: new Date(nowMs),
    next_evaluation_at: null,
  };
  const event = paused
    ? ("vautn.rollout.paused" as const)
    : ("vautn.rollout.needs-decision" as const);
  const ruling = { at, decision, rule, sentence, numbers, basis };
  await carryOut(deps, tx, rollout, ruling, { changes, event });
  const kind = paused ? "rollout-paused" : "rollout-needs-decision";
  await raiseAlert(deps, tx, rollout, kind, verdict);
  const policy = rollout.policy as RolloutPolicy;
  const isWhole = rollsBackOnBreach(policy);
  if (!paused || (!isWhole && policy.onBreach !== "rollback-stage")) return;
  const reason = `by the policy: ${sentence}`;
  const fromStage = isWhole ? undefined : rollout.stage_index;
  await beginRollback(deps, tx, { ...rollout, ...changes }, reason, { fromStage });
}
