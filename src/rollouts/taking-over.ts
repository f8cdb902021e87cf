import type { Tx } from "../db/index.ts";
import { moveCounters, stepOf } from "./counter-store.ts";
import { withdraw } from "./membership-store.ts";
import type { RolloutPolicy } from "./policy.ts";
import { lockByDevices, type TrackedDevice } from "./progress-store.ts";
import { type Rival, rivalsOf } from "./rivals-store.ts";
import { ACTIVE_STATES, type RolloutRow } from "./rollout-store.ts";
import { UNDERWAY_STATES } from "./states.ts";

/** Whether it takes no devices from others before it begins: it may never. */
export function beginsLater({
  needs_approval: needsApproval,
  policy,
}: Pick<RolloutRow, "needs_approval" | "policy">): boolean {
  return needsApproval || (policy as RolloutPolicy).startAt !== undefined;
}

/**
 * Takes the rollout's devices out of others: what an ended one still had on offer, and what one that
 * comes after had not begun. A device that has begun elsewhere since it was judged, or has the other
 * release by now, stays there, and is taken out of this one: it must not have two updates at once.
 */
export async function supersede(tx: Tx, tenantId: string, id: string, now: Date): Promise<void> {
  const rivals = await rivalsOf(tx, tenantId, id);
  const busy = new Set<string>();
  for (const [rolloutId, rows] of Map.groupBy(rivals, (row) => row.rollout_id)) {
    const { yields } = rows[0] as Rival;
    const deviceIds = rows.map((row) => row.device_id);
    const devices = await lockByDevices(tx, tenantId, [rolloutId], deviceIds);
    const isActive = (state: string) => (ACTIVE_STATES as readonly string[]).includes(state);
    const open = devices.filter(
      ({ state, rollout_state: rollout }) =>
        (state === "pending" && yields) || (state === "offered" && !isActive(rollout)),
    );
    const holds = ["pending", "offered", "succeeded", ...UNDERWAY_STATES];
    for (const device of devices) {
      if (holds.includes(device.state) && !open.includes(device)) busy.add(device.device_id);
    }
    await withdrawAll(tx, tenantId, rolloutId, open, now);
  }
  if (busy.size === 0) return;
  const own = await lockByDevices(tx, tenantId, [id], [...busy]);
  await withdrawAll(
    tx,
    tenantId,
    id,
    own.filter((device) => device.state === "pending"),
    now,
  );
}

async function withdrawAll(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  devices: readonly TrackedDevice[],
  now: Date,
): Promise<void> {
  if (devices.length === 0) return;
  const deviceIds = devices.map((device) => device.device_id);
  await withdraw(tx, tenantId, rolloutId, deviceIds, now);
  const steps = devices.map((device) => stepOf(rolloutId, device, "withdrawn"));
  await moveCounters(tx, tenantId, steps);
}
