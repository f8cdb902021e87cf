import { type RawBuilder, sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { Member } from "./counter-store.ts";
import type { Failure } from "./states.ts";

export interface NewDeviceRow {
  deviceId: string;
  stageIndex: number;
  state: "pending" | "withdrawn";
  sourceVersion: string | null;
  sourceSha256: string | null;
  targetReleaseId: string;
  targetSha256: string;
  excludedReason: string | null;
  failure: Failure | null;
  bytesFull: number;
}

const INSERT_BATCH = 20_000;

/** Adds devices in the given order, from `firstOrdinal` on. */
export async function insertDevices(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  devices: readonly NewDeviceRow[],
  firstOrdinal = 0,
): Promise<void> {
  for (let start = 0; start < devices.length; start += INSERT_BATCH) {
    const part = devices.slice(start, start + INSERT_BATCH);
    await sql`
      insert into rollout_devices
        (tenant_id, rollout_id, device_id, stage_index, ordinal, state, update_id, source_version,
         source_sha256, target_release_id, target_sha256, excluded_reason, failure, bytes_full)
      select ${tenantId}, ${rolloutId}, d.device_id, d.stage_index,
             ${firstOrdinal + start} + d.position - 1, d.state, uuidv7(),
             d.source_version, d.source_sha256, d.target_release_id, d.target_sha256,
             d.excluded_reason, d.failure::jsonb, d.bytes_full
      from unnest(
        ${part.map((row) => row.deviceId)}::text[], ${part.map((row) => row.stageIndex)}::int[],
        ${part.map((row) => row.state)}::text[], ${part.map((row) => row.sourceVersion)}::text[],
        ${part.map((row) => row.sourceSha256)}::text[],
        ${part.map((row) => row.targetReleaseId)}::uuid[],
        ${part.map((row) => row.targetSha256)}::text[],
        ${part.map((row) => row.excludedReason)}::text[],
        ${part.map((row) => (row.failure ? JSON.stringify(row.failure) : null))}::text[],
        ${part.map((row) => row.bytesFull)}::bigint[]
      ) with ordinality as d(device_id, stage_index, state, source_version, source_sha256,
        target_release_id, target_sha256, excluded_reason, failure, bytes_full, position)
      on conflict do nothing`.execute(tx);
  }
}

type MemberDevice = Member & { device_id: string };

/** Locks devices of the rollout for which `condition` holds, in the order of their ids. */
async function lockMembers(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  condition: RawBuilder<unknown>,
  limit: number,
): Promise<MemberDevice[]> {
  const { rows } = await sql<MemberDevice>`
    select device_id, stage_index, state, excluded_reason, cohort, is_absent
    from rollout_devices
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and (${condition})
    order by device_id limit ${limit} for update`.execute(tx);
  return rows;
}

/** Takes back what nobody has taken up: pending devices, and offers that were never delivered. */
export async function lockUntouched(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  limit: number,
): Promise<MemberDevice[]> {
  const untouched = sql`state = 'pending' or (state = 'offered' and phase_deadline_at is null)`;
  return lockMembers(tx, tenantId, rolloutId, untouched, limit);
}

export async function withdraw(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  deviceIds: readonly string[],
  now: Date,
): Promise<void> {
  await sql`
    update rollout_devices
    set state = 'withdrawn', assignment = null, phase_deadline_at = null, updated_at = ${now},
        finished_at = ${now}
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
      and device_id = any(${[...deviceIds]}::text[])`.execute(tx);
}

/** Devices that were told to start from their other slot and did not. */
export async function lockFailedSwitches(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  limit: number,
): Promise<MemberDevice[]> {
  const failed = sql`state in ('rejected', 'failed', 'fell-back')
    and assignment->'signed'->>'action' = 'switch-slot'`;
  return lockMembers(tx, tenantId, rolloutId, failed, limit);
}

/** Begins anew, as an update of another name: what is still said of the old one is not its word. */
export async function resetToPending(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  deviceIds: readonly string[],
): Promise<void> {
  if (deviceIds.length === 0) return;
  await sql`
    update rollout_devices
    set state = 'pending', update_id = uuidv7(), failure = null, finished_at = null,
        phase_deadline_at = null, progress = null, boot_id = null, attempts = attempts + 1
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
      and device_id = any(${[...deviceIds]}::text[])`.execute(tx);
}

/** Devices of the stages from `fromStage` on that have not begun, though they may have an offer. */
export async function lockUntold(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  fromStage: number,
  limit: number,
): Promise<MemberDevice[]> {
  const untold = sql`stage_index >= ${fromStage} and state = 'offered' and phase_deadline_at is null`;
  return lockMembers(tx, tenantId, rolloutId, untold, limit);
}

/** Devices of those stages that were told to stop and did. */
export async function lockStopped(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  fromStage: number,
  limit: number,
): Promise<MemberDevice[]> {
  const stopped = sql`stage_index >= ${fromStage} and state = 'withdrawn' and cancelled_at is not null`;
  return lockMembers(tx, tenantId, rolloutId, stopped, limit);
}

/** As though they had never been told: the stage that they are in may come to them again. */
export async function untell(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  deviceIds: readonly string[],
): Promise<void> {
  if (deviceIds.length === 0) return;
  await sql`
    update rollout_devices
    set state = 'pending', update_id = uuidv7(), assignment = null, failure = null,
        cancelled_at = null, finished_at = null, phase_deadline_at = null, progress = null,
        boot_id = null
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
      and device_id = any(${[...deviceIds]}::text[])`.execute(tx);
}
