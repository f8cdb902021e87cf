import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { type Member, moveCounters, stepOf } from "./counter-store.ts";
import { lockStopped, lockUntold, untell } from "./membership-store.ts";
import { type Announcements, cancelNext } from "./offering.ts";
import { lockByDevices } from "./progress-store.ts";
import {
  findRollout,
  lockRollout,
  openStageRollback,
  type RolloutRow,
  updateRollout,
} from "./rollout-store.ts";
import type { RolloutsDeps } from "./types.ts";

const BATCH = 5_000;

/**
 * What a way back is about by now: the `whole` rollout, which is wound down; its `stages`, before
 * which it stands, so that devices return to them; what has `ended`, to which none returns though
 * late ones still go back; or only who is on the way already, where a way back of the whole has
 * `overtaken` that of the stages.
 */
export type Undone = "whole" | "stages" | "ended" | "overtaken";

/** The answer holds until the transaction ends. */
export async function undoneBy(tx: Tx, rollout: RolloutRow): Promise<Undone> {
  const { tenant_id: tenantId, rolls_back_stage: fromStage } = rollout;
  const originalId = rollout.rolls_back as string;
  if (fromStage === null) {
    const original = await findRollout(tx, tenantId, originalId);
    return original?.state === "rolling-back" ? "whole" : "ended";
  }
  const original = await lockRollout(tx, tenantId, originalId, "wait");
  if (original?.state === "paused") return "stages";
  return original?.state === "cancelled" ? "ended" : "overtaken";
}

/** A way back of stages: who has not begun waits again, who is on the way is told to stop. */
export async function stopStages(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  said: Announcements,
): Promise<number> {
  const { tenant_id: tenantId, rolls_back_stage: fromStage } = rollout;
  if (fromStage === null) return 0;
  const original = await findRollout(tx, tenantId, rollout.rolls_back as string);
  if (!original) return 0;
  const untold = await lockUntold(tx, tenantId, original.id, fromStage, BATCH);
  await makeWait(tx, tenantId, original.id, untold);
  return cancelNext(deps, tx, original, said, fromStage);
}

/** Devices that are on their way back wait in their stage again. */
export async function untellReturning(
  tx: Tx,
  rollout: RolloutRow,
  deviceIds: readonly string[],
): Promise<void> {
  const { tenant_id: tenantId } = rollout;
  const originalId = rollout.rolls_back as string;
  for (let start = 0; start < deviceIds.length; start += BATCH) {
    const ids = deviceIds.slice(start, start + BATCH);
    const devices = await lockByDevices(tx, tenantId, [originalId], ids);
    await makeWait(tx, tenantId, originalId, devices);
  }
}

/** Says on the rollout what became of its stages; those that stopped in time wait again too. */
export async function endStageRollback(
  tx: Tx,
  rollout: RolloutRow,
  sentence: string,
): Promise<void> {
  const { tenant_id: tenantId, rolls_back_stage: fromStage } = rollout;
  const original = await lockRollout(tx, tenantId, rollout.rolls_back as string, "wait");
  // Meanwhile it may have been ended, or undone as a whole.
  if (original?.state !== "paused" || fromStage === null) return;
  for (let taken = BATCH; taken === BATCH; ) {
    const stopped = await lockStopped(tx, tenantId, original.id, fromStage, BATCH);
    await makeWait(tx, tenantId, original.id, stopped);
    taken = stopped.length;
  }
  await updateRollout(tx, tenantId, original.id, {
    state_reason: `${original.state_reason} ${sentence}`,
  });
}

/** A rollout whose stages are on their way back does not go on before they are. */
export async function refuseWhileGoingBack(tx: Tx, rollout: RolloutRow): Promise<void> {
  const back = await openStageRollback(tx, rollout.tenant_id, rollout.id);
  if (back === undefined) return;
  const message = "its stage is still on the way back: wait until that has ended";
  throw new AppError("rollout-state", message, { rollbackId: back });
}

async function makeWait(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  devices: readonly (Member & { device_id: string })[],
): Promise<void> {
  const ids = devices.map((device) => device.device_id);
  await untell(tx, tenantId, rolloutId, ids);
  const steps = devices.map((device) => stepOf(rolloutId, device, "pending"));
  await moveCounters(tx, tenantId, steps);
}
