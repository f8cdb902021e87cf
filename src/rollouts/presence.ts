import { takePresence, writePresence } from "./absence-store.ts";
import { type ArmDelta, armIn, moveArms } from "./cohorts-store.ts";
import { retryDeadlocks } from "./retry-deadlocks.ts";
import { activeRollouts } from "./rollout-store.ts";
import type { RolloutsDeps } from "./types.ts";

const BATCH = 1_000;
/** Batches of one tick: when a whole fleet falls silent, the rest comes at the next. */
const MAX_BATCHES = 20;

/**
 * Takes devices that have fallen silent out of what is compared, and those that are back in again: a
 * device that cannot be heard adds to no arm. It can show no crash, and the time of one that the
 * update has killed must not speak for the update.
 */
export async function followPresence(deps: RolloutsDeps, tenantId: string): Promise<void> {
  for (let batch = 0; batch < MAX_BATCHES; batch += 1) {
    const taken = await retryDeadlocks(() =>
      deps.db.tenant(tenantId, async (tx) => {
        const deviceIds = await takePresence(tx, tenantId, BATCH);
        if (deviceIds.length === 0) return 0;
        const ids = await activeRollouts(tx, tenantId);
        const rows = ids.length > 0 ? await writePresence(tx, tenantId, ids, deviceIds) : [];
        await moveArms(tx, tenantId, armDeltas(rows));
        return deviceIds.length;
      }),
    );
    if (taken < BATCH) return;
  }
}

function armDeltas(rows: Awaited<ReturnType<typeof writePresence>>): ArmDelta[] {
  const deltas = new Map<string, ArmDelta>();
  for (const row of rows) {
    const arm = armIn(row.state);
    if (!arm || row.excluded_reason !== null) continue;
    const key = `${row.rollout_id}/${row.cohort}`;
    const { rollout_id: rolloutId, cohort } = row;
    const delta = deltas.get(key) ?? { rolloutId, cohort, treated: 0, control: 0 };
    delta[arm] += row.is_absent ? -1 : 1;
    deltas.set(key, delta);
  }
  return [...deltas.values()];
}
