import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { BytesBySource } from "../protocol/index.ts";
import type { DeviceState, Failure } from "./states.ts";

/** A device whose part in a rollout is about to change. */
export interface TrackedDevice {
  rollout_id: string;
  device_id: string;
  stage_index: number;
  state: DeviceState;
  update_id: string;
  target_sha256: string;
  cancelled_at: Date | null;
  boot_id: string | null;
  excluded_reason: string | null;
  cohort: number;
  is_absent: boolean;
  counted: Record<string, number>;
  bytes_downloaded: number;
  bytes_platform: number | null;
  bytes_store: number | null;
  bytes_cache: number | null;
  bytes_full: number;
  hops_left: number;
  finished_at: Date | null;
  rollout_state: string;
  rollout_started_at: Date | null;
  rollout_kind: "update" | "rollback";
  deadlines: Record<string, number>;
}

const TRACKED = sql`d.rollout_id, d.device_id, d.stage_index, d.state, d.update_id,
  d.target_sha256, d.cancelled_at, d.boot_id, d.excluded_reason, d.cohort, d.is_absent, d.counted, d.bytes_downloaded,
  d.bytes_platform, d.bytes_store, d.bytes_cache,
  d.bytes_full, d.hops_left, d.finished_at, r.state as rollout_state, r.started_at as rollout_started_at, r.kind as rollout_kind,
  r.policy->'deadlines' as deadlines`;

/** Rows are locked in the order of devices, as everywhere. */
export async function lockByUpdateIds(
  tx: Tx,
  tenantId: string,
  updateIds: readonly string[],
): Promise<TrackedDevice[]> {
  const { rows } = await sql<TrackedDevice>`
    select ${TRACKED}
    from rollout_devices d
    join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
    where d.tenant_id = ${tenantId} and d.update_id = any(${[...updateIds]}::uuid[])
      and d.state <> 'pending'
    order by d.device_id, d.rollout_id for update of d`.execute(tx);
  return rows;
}

/** The parts that devices have in the given rollouts. */
export async function lockByDevices(
  tx: Tx,
  tenantId: string,
  rolloutIds: readonly string[],
  deviceIds: readonly string[],
): Promise<TrackedDevice[]> {
  const { rows } = await sql<TrackedDevice>`
    select ${TRACKED}
    from rollout_devices d
    join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
    where d.tenant_id = ${tenantId} and d.rollout_id = any(${[...rolloutIds]}::uuid[])
      and d.device_id = any(${[...deviceIds]}::text[])
    order by d.device_id, d.rollout_id for update of d`.execute(tx);
  return rows;
}

export interface OverdueDevice extends TrackedDevice {
  offline: boolean;
  running_sha256: string | null;
}

export async function lockOverdue(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  now: Date,
  limit: number,
): Promise<OverdueDevice[]> {
  const { rows } = await sql<OverdueDevice>`
    with due as (
      select device_id from rollout_devices
      where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and phase_deadline_at <= ${now}
      order by phase_deadline_at limit ${limit})
    select ${TRACKED},
      coalesce(not s.connected and s.presence in ('offline', 'never'), true) as offline,
      s.firmware_sha256 as running_sha256
    from due join rollout_devices d
      on d.tenant_id = ${tenantId} and d.rollout_id = ${rolloutId} and d.device_id = due.device_id
    join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
    left join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.device_id
    where d.phase_deadline_at <= ${now}
    order by d.device_id for update of d`.execute(tx);
  return rows;
}

/** What changes of a device's row; everything that is not given stays. */
export interface DeviceChange {
  rolloutId: string;
  deviceId: string;
  state: DeviceState;
  /** Null takes the deadline away. */
  deadlineAt: Date | null;
  progress: number | null;
  failure: Failure | null;
  finishedAt: Date | null;
  bootId: string | null;
  format: string | null;
  bytesDownloaded: number;
  bytesBySource: BytesBySource | null;
}

/** Writes changed devices in one statement. */
export async function writeDevices(
  tx: Tx,
  tenantId: string,
  changes: readonly DeviceChange[],
  now: Date,
): Promise<void> {
  if (changes.length === 0) return;
  await sql`
    update rollout_devices d
    set state = c.state, phase_deadline_at = c.deadline_at, progress = c.progress,
        waiting_for = null, failure = c.failure::jsonb, finished_at = c.finished_at, boot_id = c.boot_id,
        format = coalesce(c.format, d.format), bytes_downloaded = c.bytes_downloaded,
        bytes_platform = c.bytes_platform, bytes_store = c.bytes_store, bytes_cache = c.bytes_cache,
        updated_at = ${now}
    from unnest(
      ${changes.map((row) => row.rolloutId)}::uuid[], ${changes.map((row) => row.deviceId)}::text[],
      ${changes.map((row) => row.state)}::text[],
      ${changes.map((row) => row.deadlineAt)}::timestamptz[],
      ${changes.map((row) => row.progress)}::real[],
      ${changes.map((row) => (row.failure ? JSON.stringify(row.failure) : null))}::text[],
      ${changes.map((row) => row.finishedAt)}::timestamptz[],
      ${changes.map((row) => row.bootId)}::text[], ${changes.map((row) => row.format)}::text[],
      ${changes.map((row) => row.bytesDownloaded)}::bigint[],
      ${changes.map((row) => row.bytesBySource?.platform ?? null)}::bigint[],
      ${changes.map((row) => row.bytesBySource?.store ?? null)}::bigint[],
      ${changes.map((row) => row.bytesBySource?.cache ?? null)}::bigint[]
    ) as c(rollout_id, device_id, state, deadline_at, progress, failure, finished_at, boot_id,
      format, bytes_downloaded, bytes_platform, bytes_store, bytes_cache)
    where d.tenant_id = ${tenantId} and d.rollout_id = c.rollout_id
      and d.device_id = c.device_id`.execute(tx);
}

/**
 * Notes what devices run now as what they come from: the way back leads there, and the plan may be
 * weeks old. A device that runs the target already keeps what is on record.
 */
export async function writeSources(
  tx: Tx,
  tenantId: string,
  rows: readonly { rolloutId: string; deviceId: string }[],
): Promise<void> {
  if (rows.length === 0) return;
  await sql`
    update rollout_devices d
    set source_version = s.firmware_version, source_sha256 = s.firmware_sha256
    from unnest(
      ${rows.map((row) => row.rolloutId)}::uuid[], ${rows.map((row) => row.deviceId)}::text[]
    ) as c(rollout_id, device_id)
    join device_states s on s.tenant_id = ${tenantId} and s.device_id = c.device_id
    where d.tenant_id = ${tenantId} and d.rollout_id = c.rollout_id and d.device_id = c.device_id
      and s.firmware_sha256 <> d.target_sha256
      and s.firmware_sha256 is distinct from d.source_sha256`.execute(tx);
}

/** How far devices have come within their phase. */
export async function writeProgress(
  tx: Tx,
  tenantId: string,
  rows: readonly { rolloutId: string; deviceId: string; progress: number }[],
  now: Date,
): Promise<void> {
  if (rows.length === 0) return;
  await sql`
    update rollout_devices d set progress = c.progress, waiting_for = null, updated_at = ${now}
    from unnest(
      ${rows.map((row) => row.rolloutId)}::uuid[], ${rows.map((row) => row.deviceId)}::text[],
      ${rows.map((row) => row.progress)}::real[]
    ) as c(rollout_id, device_id, progress)
    where d.tenant_id = ${tenantId} and d.rollout_id = c.rollout_id
      and d.device_id = c.device_id`.execute(tx);
}

/** What a device waits for, and when it is taken for silent if it says so no more. */
export interface WaitingDevice {
  rolloutId: string;
  deviceId: string;
  waitingFor: { element: string; message: string };
  deadlineAt: Date;
}

export async function writeWaiting(
  tx: Tx,
  tenantId: string,
  rows: readonly WaitingDevice[],
  now: Date,
): Promise<void> {
  if (rows.length === 0) return;
  await sql`
    update rollout_devices d
    set waiting_for = c.waiting_for::jsonb, phase_deadline_at = c.deadline_at, updated_at = ${now}
    from unnest(
      ${rows.map((row) => row.rolloutId)}::uuid[], ${rows.map((row) => row.deviceId)}::text[],
      ${rows.map((row) => JSON.stringify(row.waitingFor))}::text[],
      ${rows.map((row) => row.deadlineAt)}::timestamptz[]
    ) as c(rollout_id, device_id, waiting_for, deadline_at)
    where d.tenant_id = ${tenantId} and d.rollout_id = c.rollout_id
      and d.device_id = c.device_id`.execute(tx);
}

export async function writeCounted(
  tx: Tx,
  tenantId: string,
  rows: readonly { rolloutId: string; deviceId: string; counted: Record<string, number> }[],
): Promise<void> {
  if (rows.length === 0) return;
  await sql`
    update rollout_devices d set counted = c.counted::jsonb
    from unnest(
      ${rows.map((row) => row.rolloutId)}::uuid[], ${rows.map((row) => row.deviceId)}::text[],
      ${rows.map((row) => JSON.stringify(row.counted))}::text[]
    ) as c(rollout_id, device_id, counted)
    where d.tenant_id = ${tenantId} and d.rollout_id = c.rollout_id
      and d.device_id = c.device_id`.execute(tx);
}
