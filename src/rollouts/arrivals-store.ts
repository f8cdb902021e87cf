import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { cohortOfJudged, MAX_COHORTS } from "./cohorts-store.ts";
import { lastOrdinal } from "./device-store.ts";
import { hopRows } from "./plan-store.ts";
import type { Hop } from "./planning.ts";
import { type RolloutRow, STOPPABLE_STATES } from "./rollout-store.ts";

/** A further one is refused: what devices can join would be left out in silence. */
export const MAX_DYNAMIC = 100;

export async function countDynamic(tx: Tx, tenantId: string): Promise<number> {
  const row = await tx
    .selectFrom("rollouts")
    .select((build) => build.fn.countAll<number>().as("rollouts"))
    .where("tenant_id", "=", tenantId)
    .where("is_dynamic", "=", true)
    .where("state", "in", [...STOPPABLE_STATES])
    .executeTakeFirstOrThrow();
  return Number(row.rollouts);
}

/** Open rollouts that devices join, those that come first first. */
export function dynamicRollouts(tx: Tx, tenantId: string): Promise<RolloutRow[]> {
  return tx
    .selectFrom("rollouts")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("is_dynamic", "=", true)
    .where("state", "in", [...STOPPABLE_STATES])
    .orderBy("priority", "desc")
    .orderBy("created_at")
    .limit(MAX_DYNAMIC)
    .execute();
}

/** Devices that have changed since the last time; the list is shorter by them. */
export async function takeArrivals(tx: Tx, tenantId: string, limit: number): Promise<string[]> {
  const { rows } = await sql<{ device_id: string }>`
    delete from rollout_arrivals where tenant_id = ${tenantId} and device_id in (
      select device_id from rollout_arrivals where tenant_id = ${tenantId}
      order by device_id limit ${limit} for update skip locked)
    returning device_id`.execute(tx);
  return rows.map((row) => row.device_id);
}

export async function hasArrivals(tx: Tx, tenantId: string): Promise<boolean> {
  const row = await tx
    .selectFrom("rollout_arrivals")
    .select("device_id")
    .where("tenant_id", "=", tenantId)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

export async function forgetArrivals(tx: Tx, tenantId: string): Promise<void> {
  await tx.deleteFrom("rollout_arrivals").where("tenant_id", "=", tenantId).execute();
}

export async function wasSwept(tx: Tx, tenantId: string, id: string, now: Date): Promise<void> {
  await tx
    .updateTable("rollouts")
    .set({ swept_at: now })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

export interface Added {
  devices: number;
  excluded: number;
}

/** Adds the judged devices that fit behind all others. */
export async function insertArrivals(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  stageIndex: number,
  hops: readonly Hop[],
): Promise<Added> {
  const { rows } = await sql<Added>`
    with added as (
      insert into rollout_devices
        (tenant_id, rollout_id, device_id, stage_index, ordinal, state, update_id, source_version,
         source_sha256, target_release_id, target_sha256, excluded_reason, bytes_full, site, zone,
         hops_left, cohort, is_absent)
      select ${tenantId}, ${rolloutId}, j.id, ${stageIndex},
             ${lastOrdinal(tenantId, rolloutId)} + row_number() over (order by j.hash),
             'pending', uuidv7(), j.firmware_version, j.firmware_sha256, h.release_id, h.sha256,
             j.exclusion, h.bytes_full, j.budget, j.zone,
             ${hops.length} - j.hop, coalesce(c.cohort, ${MAX_COHORTS - 1}),
             j.presence = 'offline'
      from judged j join ${hopRows(hops)} on h.hop = j.hop
      ${cohortOfJudged(tenantId, rolloutId)}
      where j.refusal is null
      on conflict do nothing
      returning excluded_reason, cohort, is_absent),
    compared as (
      select cohort, count(*) as devices from added
      where excluded_reason is null and not is_absent group by cohort),
    counted as (
      update rollout_cohorts c set control = c.control + compared.devices
      from compared where c.tenant_id = ${tenantId} and c.rollout_id = ${rolloutId}
        and c.cohort = compared.cohort)
    select count(*) as devices, count(excluded_reason) as excluded from added`.execute(tx);
  return rows[0] as Added;
}

/** The stage, and those after it, hold so many devices more. */
export async function growStages(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  stageIndex: number,
  { devices, excluded }: Added,
): Promise<void> {
  await sql`
    update rollout_stages set cumulative_devices = cumulative_devices + ${devices}
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
      and stage_index >= ${stageIndex}`.execute(tx);
  await sql`
    update rollout_counters set devices = devices + ${devices}, excluded = excluded + ${excluded}
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and stage_index = ${stageIndex}
      and state = 'pending'`.execute(tx);
}
