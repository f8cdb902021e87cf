import type { Tx } from "../db/index.ts";
import { isAppError } from "../kernel/index.ts";
import { moveCounters, stepOf } from "./counter-store.ts";
import { hopsOf } from "./creation.ts";
import { type GateState, takenBack, type Verdict } from "./gate/index.ts";
import { advanceHops, lockRetries } from "./going-on-store.ts";
import { resetToPending } from "./membership-store.ts";
import { OFFER_BATCH } from "./offering.ts";
import type { Hop } from "./planning.ts";
import type { RolloutPolicy } from "./policy.ts";
import { type RolloutRow, updateRollout } from "./rollout-store.ts";
import type { RolloutsDeps } from "./types.ts";

/** The hops of a running rollout, where devices come by stepping stones; none otherwise. */
export async function readHops(
  deps: RolloutsDeps,
  rollout: Pick<RolloutRow, "tenant_id" | "release_id" | "policy" | "kind">,
): Promise<Hop[]> {
  const stones = (rollout.policy as RolloutPolicy).steppingStones ?? [];
  if (stones.length === 0 || rollout.kind !== "update") return [];
  const release = await deps.firmware.releases.get(rollout.tenant_id, rollout.release_id);
  try {
    return await hopsOf(deps, rollout.tenant_id, release, stones);
  } catch (error) {
    // A stone that has been yanked since: nobody goes on from there, and the step cancels the rollout.
    if (!isAppError(error) || error.code === "unavailable") throw error;
    return [];
  }
}

/**
 * Sends devices on from their stepping stone, and tries again those that may be, when the gate has
 * seen that they failed. The result is what the gate remembers then: an end that is taken back must
 * not stand for another one that is yet to come.
 */
export async function goOn(
  tx: Tx,
  rollout: RolloutRow,
  hops: readonly Hop[],
  nowMs: number,
): Promise<GateState> {
  const { tenant_id: tenantId, id } = rollout;
  const arrived = hops.length > 1 ? await advanceHops(tx, tenantId, id, hops, OFFER_BATCH) : [];
  const { retry } = rollout.policy as RolloutPolicy;
  const lookedAt = (rollout.last_verdict as Verdict | null)?.at ?? 0;
  const before = new Date(Math.min(nowMs - (retry?.afterSeconds ?? 0) * 1_000, lookedAt));
  const retried = retry ? await lockRetries(tx, tenantId, id, retry, before, OFFER_BATCH) : [];
  await resetToPending(
    tx,
    tenantId,
    id,
    retried.map((device) => device.device_id),
  );
  const steps = [...arrived, ...retried].map((device) => stepOf(id, device, "pending"));
  const state = rollout.gate_state as GateState;
  if (steps.length === 0) return state;
  await moveCounters(tx, tenantId, steps);
  const inStage = retried.filter((device) => device.stage_index === rollout.stage_index).length;
  const known = takenBack(state, { failed: retried.length, inStage, succeeded: arrived.length });
  await updateRollout(tx, tenantId, id, { gate_state: JSON.stringify(known) });
  return known;
}
