import type { Tx } from "../db/index.ts";
import { applyMoves, offerDeadline, progressOf, type TrackedMove } from "./moves.ts";
import { lockOverdue } from "./progress-store.ts";
import type { RolloutRow } from "./rollout-store.ts";
import { moveByDeadline } from "./states.ts";
import { readStop } from "./stop-store.ts";
import type { RolloutsDeps } from "./types.ts";

/** Of one rollout in one step; the next step goes on. */
const DEADLINE_BATCH = 500;

/** Devices from which nothing came within the deadline of their phase. */
export async function expireDeadlines(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
): Promise<number> {
  const now = deps.clock.now();
  const { tenant_id: tenantId, id } = rollout;
  const overdue = await lockOverdue(tx, tenantId, id, new Date(now), DEADLINE_BATCH);
  if (overdue.length === 0) return 0;
  const held = await holdsOffers(tx, rollout);
  const moves = overdue.map((device): TrackedMove => {
    const known = { offline: device.offline, held, runningSha256: device.running_sha256 };
    const move = moveByDeadline(progressOf(device), known);
    if (move !== "wait") return { device, move };
    // It stays where it is: without a deadline until it comes back, with a new one while it is held.
    const deadlineAt = device.offline ? null : offerDeadline(device, now);
    return { device, move: { state: device.state, failure: null }, deadlineAt };
  });
  await applyMoves(tx, tenantId, moves, now);
  return moves.length;
}

/** Whether those who have not begun are told nothing, as `openAssignment` has it. */
async function holdsOffers(tx: Tx, { tenant_id, state, kind }: RolloutRow): Promise<boolean> {
  if (!["running", "succeeded", "failed"].includes(state)) return true;
  return kind === "update" && (await readStop(tx, tenant_id)) !== null;
}
