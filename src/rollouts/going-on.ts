import type { Tx } from "../db/index.ts";
import { moveCounters } from "./counter-store.ts";
import { hopsOf } from "./creation.ts";
import { advanceHops, type GoingOn, lockRetries } from "./going-on-store.ts";
import { resetToPending } from "./membership-store.ts";
import { OFFER_BATCH } from "./offering.ts";
import type { Hop } from "./planning.ts";
import type { RolloutPolicy } from "./policy.ts";
import type { RolloutRow } from "./rollout-store.ts";
import type { RolloutsDeps } from "./types.ts";

/** The hops of a running rollout, where devices come by stepping stones; none otherwise. */
export async function readHops(
  deps: RolloutsDeps,
  rollout: Pick<RolloutRow, "tenant_id" | "release_id" | "policy" | "kind">,
): Promise<Hop[]> {
  const stones = (rollout.policy as RolloutPolicy).steppingStones ?? [];
  if (stones.length === 0 || rollout.kind !== "update") return [];
  const release = await deps.firmware.releases.get(rollout.tenant_id, rollout.release_id);
  return hopsOf(deps, rollout.tenant_id, release, stones);
}

/** Sends devices on from their stepping stone, and tries again those that may be. */
export async function goOn(
  tx: Tx,
  rollout: RolloutRow,
  hops: readonly Hop[],
  now: Date,
): Promise<number> {
  const { tenant_id: tenantId, id } = rollout;
  const arrived = hops.length > 1 ? await advanceHops(tx, tenantId, id, hops, OFFER_BATCH) : [];
  const { retry } = rollout.policy as RolloutPolicy;
  const retried = retry ? await lockRetries(tx, tenantId, id, retry, now, OFFER_BATCH) : [];
  await resetToPending(
    tx,
    tenantId,
    id,
    retried.map((device) => device.device_id),
  );
  const steps = [...arrived, ...retried].map((device: GoingOn) => ({
    rolloutId: id,
    stageIndex: device.stage_index,
    from: device.state,
    to: "pending" as const,
    excluded: device.excluded_reason !== null,
    bytesDownloaded: 0,
    bytesFull: 0,
  }));
  await moveCounters(tx, tenantId, steps);
  return steps.length;
}
