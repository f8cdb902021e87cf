import type { Tx } from "../db/index.ts";
import { countOncePerDay, type Occurrence } from "./incidents.ts";
import { lostConnections } from "./pairs-store.ts";
import { lockByDevices } from "./progress-store.ts";
import type { RolloutRow } from "./rollout-store.ts";
import type { RolloutsDeps } from "./types.ts";

/** Devices that one look takes in at most. */
const MAX_DEVICES = 5_000;
/** What a device says and does right after its update is the update's own noise. */
const SETTLED_MS = 600_000;
/** Lines and disconnections that arrive late are seen by the next look, which overlaps. */
const OVERLAP_MS = 120_000;
const LONGEST_MS = 86_400_000;

/** Errors in logs and lost connections since the last look, read before the rollout is locked. */
export interface Polled {
  errors: Occurrence[];
}

/** A time-series store that does not answer says nothing about either arm: it is asked next time. */
export async function pollErrors(deps: RolloutsDeps, rollout: RolloutRow): Promise<Polled> {
  const { tenant_id: tenantId } = rollout;
  const to = deps.clock.now();
  const query = { from: sinceMs(rollout, to), to, limit: MAX_DEVICES };
  try {
    const found = await deps.logs.devicesWithErrors(tenantId, query);
    return { errors: found.map(({ deviceId, ts }) => ({ deviceId, ts, metric: "error-log" })) };
  } catch (error) {
    const context = { tenantId, rolloutId: rollout.id, err: error };
    deps.logger.warn(context, "error logs could not be counted");
    return { errors: [] };
  }
}

/** Adds both to the evidence: of one device one event counts in 24 hours, whichever look saw it. */
export async function countPolled(
  tx: Tx,
  rollout: RolloutRow,
  polled: Polled,
  nowMs: number,
): Promise<void> {
  const { tenant_id: tenantId, id } = rollout;
  const since = new Date(sinceMs(rollout, nowMs));
  const lost = await lostConnections(tx, tenantId, since, MAX_DEVICES);
  const occurrences: Occurrence[] = [
    ...polled.errors,
    ...lost.map(({ deviceId, ts }) => ({ deviceId, ts, metric: "disconnect" as const })),
  ];
  if (occurrences.length === 0) return;
  const ids = [...new Set(occurrences.map(({ deviceId }) => deviceId))];
  const devices = await lockByDevices(tx, tenantId, [id], ids);
  await countOncePerDay(tx, tenantId, devices, occurrences, SETTLED_MS);
}

function sinceMs(rollout: RolloutRow, nowMs: number): number {
  const last = rollout.accrued_at?.getTime() ?? nowMs;
  const begun = rollout.started_at?.getTime() ?? nowMs;
  return Math.max(begun, last - OVERLAP_MS, nowMs - LONGEST_MS);
}
