import type { Tx } from "../db/index.ts";
import { countOncePerDay, type Occurrence } from "./incidents.ts";
import { lostConnections } from "./pairs-store.ts";
import { lockByDevices } from "./progress-store.ts";
import type { RolloutRow } from "./rollout-store.ts";
import type { RolloutsDeps } from "./types.ts";

/** Devices that one look takes in at most. */
const MAX_DEVICES = 5_000;
/** What a device says and does right after its update is the update's own noise. */
export const SETTLED_MS = 600_000;
/** Lines and disconnections that arrive late are seen by the next look, which overlaps. */
const OVERLAP_MS = 120_000;
const LONGEST_MS = 86_400_000;

/** Errors in logs and lost connections since they were last read, before the rollout is locked. */
export interface Polled {
  occurrences: Occurrence[];
  /** Up to when they have been read. */
  untilMs: number;
}

/**
 * A time-series store that does not answer says nothing about either arm: the next look asks for
 * the same time once more, so that an outage loses nothing.
 */
export async function pollErrors(
  deps: RolloutsDeps,
  rollout: RolloutRow,
): Promise<Polled | undefined> {
  const { tenant_id: tenantId } = rollout;
  const to = deps.clock.now();
  const from = sinceMs(rollout, to);
  try {
    const errors = await deps.logs.devicesWithErrors(tenantId, { from, to, limit: MAX_DEVICES });
    const lost = await deps.db.tenant(tenantId, (tx) =>
      lostConnections(tx, tenantId, new Date(from), MAX_DEVICES),
    );
    // The rest of a flood comes at the next look.
    const untilMs = lost.length === MAX_DEVICES ? (lost.at(-1)?.ts ?? to) : to;
    const occurrences: Occurrence[] = [
      ...errors.map((event) => ({ ...event, metric: "error-log" as const })),
      ...lost.map((event) => ({ ...event, metric: "disconnect" as const })),
    ];
    return { occurrences, untilMs };
  } catch (error) {
    const context = { tenantId, rolloutId: rollout.id, err: error };
    deps.logger.warn(context, "error logs could not be counted");
    return undefined;
  }
}

/** Adds both to the evidence: of one device one event counts in 24 hours, whichever look saw it. */
export async function countPolled(
  tx: Tx,
  rollout: RolloutRow,
  { occurrences }: Polled,
): Promise<void> {
  const { tenant_id: tenantId, id } = rollout;
  if (occurrences.length === 0) return;
  const ids = [...new Set(occurrences.map(({ deviceId }) => deviceId))];
  const devices = await lockByDevices(tx, tenantId, [id], ids);
  await countOncePerDay(tx, tenantId, devices, occurrences, SETTLED_MS);
}

function sinceMs(rollout: RolloutRow, nowMs: number): number {
  const begun = rollout.started_at?.getTime() ?? nowMs;
  const last = rollout.polled_at?.getTime() ?? begun;
  return Math.max(begun, last - OVERLAP_MS, nowMs - LONGEST_MS);
}
