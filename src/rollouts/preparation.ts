import type { Tx } from "../db/index.ts";
import { noteAbsent } from "./absence-store.ts";
import { carryOut } from "./outcome.ts";
import { type RolloutPolicy, startsAt } from "./policy.ts";
import type { Stepped } from "./reconciler.ts";
import { beginStage, type RolloutRow, updateRollout } from "./rollout-store.ts";
import { beginsLater, supersede } from "./taking-over.ts";
import type { RolloutsDeps } from "./types.ts";

const LOOK_AGAIN_MS = 500;
const WAITING_LOOK_MS = 60_000;
/** After this long the rollout starts with what there is: the full image always is. */
const PATIENCE_MS = 30 * 60_000;

/** Starts a rollout once every delta that it asked for is ready or has failed. */
export async function stepPreparation(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
): Promise<Stepped> {
  const now = deps.clock.now();
  const { tenant_id: tenantId, id } = rollout;
  const policy = rollout.policy as RolloutPolicy;
  const waits =
    startsAt(policy) > now
      ? `Begins at ${policy.startAt}.`
      : rollout.needs_approval && !rollout.approved_at
        ? "Waits for a second person to approve it."
        : null;
  if (waits !== null) {
    const next = new Date(Math.max(startsAt(policy), now + WAITING_LOOK_MS));
    const changes = { state_reason: waits, next_evaluation_at: next };
    await updateRollout(tx, tenantId, id, changes);
    return { said: [], more: false, changed: rollout.state_reason !== waits };
  }
  const { imageSha256 } = await deps.firmware.releases.get(tenantId, rollout.release_id);
  const all = await deps.firmware.deltas(tenantId, imageSha256);
  // Of a kind that gains nothing for two images, none was made.
  const deltas = all.filter((delta) => delta.status !== "skipped");
  const open = deltas.filter((delta) => delta.status === "queued" || delta.status === "building");
  if (open.length > 0 && now - rollout.created_at.getTime() < PATIENCE_MS) {
    const next = new Date(now + LOOK_AGAIN_MS);
    await updateRollout(tx, tenantId, id, { next_evaluation_at: next });
    return { said: [], more: false, changed: false };
  }
  const at = new Date(now);
  if (beginsLater(rollout)) await supersede(tx, tenantId, id, at);
  const ready = deltas.filter((delta) => delta.status === "ready").length;
  const decision = {
    decision: "start",
    rule: "prepared",
    sentence: `The rollout starts: ${ready} of ${deltas.length} deltas are ready.`,
    numbers: { deltas: deltas.length, ready },
  };
  const changes = {
    state: "running" as const,
    state_reason: "",
    started_at: at,
    stage_started_at: at,
    accrued_at: at,
    look_due_at: at,
    polled_at: at,
    next_evaluation_at: at,
  };
  await carryOut(deps, tx, rollout, decision, { changes, event: "vautn.rollout.started" });
  await beginStage(tx, tenantId, id, 0, at);
  await noteAbsent(tx, tenantId, id);
  return { said: [], more: true, changed: true };
}
