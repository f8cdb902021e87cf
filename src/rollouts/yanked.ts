import type { Tx } from "../db/index.ts";
import type { Actor } from "../tenancy/index.ts";
import { readCounters } from "./counter-store.ts";
import { alertKey, carryOut } from "./outcome.ts";
import { findYank, type RolloutRow, STOPPABLE_STATES } from "./rollout-store.ts";
import { UNDERWAY_STATES } from "./states.ts";
import type { RolloutsDeps } from "./types.ts";

/**
 * Cancels a rollout whose release was withdrawn. Whoever withdraws a release cancels its rollouts at
 * once; this is for those that were made in the same moment, and for a platform that died between
 * the two. True when it did.
 */
export async function cancelIfYanked(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
): Promise<boolean> {
  if (rollout.kind === "rollback" || !STOPPABLE_STATES.includes(rollout.state)) return false;
  const reason = await findYank(tx, rollout);
  if (reason === undefined) return false;
  await cancelYanked(deps, tx, rollout, `The release was yanked: ${reason}`);
  return true;
}

/** Ends the rollout; where devices have the image or have begun to take it, people are told. */
export async function cancelYanked(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  sentence: string,
  actor?: Actor,
): Promise<void> {
  const { tenant_id: tenantId, id } = rollout;
  const now = new Date(deps.clock.now());
  const counters = await readCounters(tx, tenantId, [id]);
  const count = (...states: readonly string[]) =>
    counters.filter((row) => states.includes(row.state)).reduce((sum, row) => sum + row.devices, 0);
  const numbers = { updated: count("succeeded"), underway: count(...UNDERWAY_STATES) };
  const decision = { decision: "cancel", rule: "release-yanked", sentence, numbers };
  const changes = {
    state: "cancelled" as const,
    state_reason: sentence,
    finished_at: now,
    next_evaluation_at: now,
  };
  const event = "vautn.rollout.cancelled" as const;
  await carryOut(deps, tx, rollout, decision, { changes, event, ...(actor ? { actor } : {}) });
  if (numbers.updated + numbers.underway === 0) {
    await deps.alerts.resolve(tenantId, alertKey(id), tx);
    return;
  }
  const have = `${numbers.updated} devices run it and ${numbers.underway} were on their way`;
  await deps.alerts.raise(
    tenantId,
    {
      key: alertKey(id),
      kind: "rollout-release-yanked",
      severity: "critical",
      title: `Rollout "${rollout.name}" was cancelled: ${sentence} (${have}). Roll back: /rollouts/${id}`,
      subjectKind: "rollout",
      subjectId: id,
      details: { rule: decision.rule, sentence, ...numbers },
    },
    tx,
  );
}
