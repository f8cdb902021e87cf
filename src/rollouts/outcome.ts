import type { Tx } from "../db/index.ts";
import { type Actor, SYSTEM_ACTOR } from "../tenancy/index.ts";
import type { Verdict, VerdictBasis } from "./gate/index.ts";
import { type RolloutChanges, type RolloutRow, updateRollout } from "./rollout-store.ts";
import type { RolloutEvent, RolloutsDeps } from "./types.ts";
import { insertVerdict } from "./verdict-store.ts";

/** What is decided about a rollout, by the gate or by a person. */
export interface Decision {
  decision: string;
  rule: string;
  sentence: string;
  numbers: object;
  /** When the gate judged (ms); without it, now. The same facts judged at another time differ. */
  at?: number | undefined;
  /** What the gate saw and remembered: enough to have it judge again. */
  basis?: VerdictBasis | undefined;
}

export interface Outcome {
  changes: RolloutChanges;
  event?: RolloutEvent;
  /** Who decided; without one the gate did. */
  actor?: Actor;
  /** What the audit log calls it, where that is not the decision's own word. */
  action?: string;
}

/**
 * Writes a decision down with everything that goes with it: the rollout's new state, the record for
 * people, the audit entry and the event for webhooks, all in one transaction.
 */
export async function carryOut(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  { basis, at, ...decision }: Decision,
  outcome: Outcome,
): Promise<void> {
  const { tenant_id: tenantId, id } = rollout;
  const now = new Date(at ?? deps.clock.now());
  const actor = outcome.actor ?? SYSTEM_ACTOR;
  const verdict = { at: now.getTime(), ...decision };
  await updateRollout(tx, tenantId, id, {
    ...outcome.changes,
    last_verdict: JSON.stringify(verdict),
  });
  await insertVerdict(tx, tenantId, id, {
    ...decision,
    at: now,
    stageIndex: rollout.stage_index,
    decidedBy: outcome.actor ? actor.name : "gate",
    basis,
  });
  await auditRollout(deps, tx, tenantId, id, actor, outcome.action ?? decision.decision, {
    rule: decision.rule,
    sentence: decision.sentence,
  });
  if (outcome.event) {
    const data = { rolloutId: id, name: rollout.name, ...decision };
    await deps.alerts.emit(tenantId, { type: outcome.event, subject: `rollouts/${id}`, data }, tx);
  }
}

export function auditRollout(
  deps: Pick<RolloutsDeps, "tenancy">,
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  actor: Actor,
  verb: string,
  details: Record<string, unknown>,
): Promise<void> {
  return deps.tenancy.audit.record(tx, tenantId, {
    actor,
    action: `rollout.${verb}`,
    targetKind: "rollout",
    targetId: rolloutId,
    outcome: "done",
    details,
  });
}

export function alertKey(rolloutId: string): string {
  return `rollout:${rolloutId}`;
}

/** Tells people that a rollout stands still and why. */
export async function raiseAlert(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  kind: "rollout-paused" | "rollout-needs-decision",
  verdict: Pick<Verdict, "rule" | "sentence">,
): Promise<void> {
  const paused = kind === "rollout-paused";
  const page = `/rollouts/${rollout.id}`;
  await deps.alerts.raise(
    rollout.tenant_id,
    {
      key: alertKey(rollout.id),
      kind,
      severity: paused ? "critical" : "warning",
      title: paused
        ? `Rollout "${rollout.name}" was paused: ${verdict.sentence} Resume or roll back: ${page}`
        : `Rollout "${rollout.name}" needs a decision: ${verdict.sentence} Approve or cancel: ${page}`,
      subjectKind: "rollout",
      subjectId: rollout.id,
      details: { rule: verdict.rule, sentence: verdict.sentence },
    },
    tx,
  );
}
