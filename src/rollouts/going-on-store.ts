import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { Member } from "./counter-store.ts";
import { hopRows } from "./plan-store.ts";
import type { Hop } from "./planning.ts";
import type { RetryPolicy } from "./policy-parts.ts";

export interface GoingOn extends Member {
  device_id: string;
}

/** Devices that have reached a stepping stone go on to the next, as an update of another name. */
export async function advanceHops(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  hops: readonly Hop[],
  limit: number,
): Promise<GoingOn[]> {
  const { rows } = await sql<GoingOn>`
    with arrived as (
      select device_id from rollout_devices
      where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and state = 'succeeded'
        and hops_left > 0
      order by device_id limit ${limit} for update)
    update rollout_devices d
    set state = 'pending', hops_left = d.hops_left - 1, update_id = uuidv7(),
        target_release_id = h.release_id, target_sha256 = h.sha256,
        bytes_full = h.bytes_full, assignment = null, phase_deadline_at = null,
        finished_at = null, progress = null, boot_id = null
    from arrived a, ${hopRows(hops)}
    where d.tenant_id = ${tenantId} and d.rollout_id = ${rolloutId} and d.device_id = a.device_id
      and h.hop = ${hops.length} - d.hops_left + 1
    returning d.device_id, d.stage_index, 'succeeded' as state, d.excluded_reason, d.cohort,
              d.is_absent`.execute(tx);
  return rows;
}

/** Devices that failed at `before` or earlier and have attempts left. */
export async function lockRetries(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  { attempts }: RetryPolicy,
  before: Date,
  limit: number,
): Promise<GoingOn[]> {
  const { rows } = await sql<GoingOn>`
    select device_id, stage_index, state, excluded_reason, cohort, is_absent
    from rollout_devices
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
      and state in ('failed', 'fell-back', 'rejected', 'silent') and finished_at <= ${before}
      and attempts < ${attempts} and cancelled_at is null
    order by finished_at limit ${limit} for update`.execute(tx);
  return rows;
}

/** Whether any device that failed is still to be tried again, now or later. */
export async function hasRetries(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  { attempts }: RetryPolicy,
): Promise<boolean> {
  const { rows } = await sql<{ any: boolean }>`
    select exists (select from rollout_devices
      where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
        and state in ('failed', 'fell-back', 'rejected', 'silent')
        and attempts < ${attempts} and cancelled_at is null) as any`.execute(tx);
  return rows[0]?.any ?? false;
}
