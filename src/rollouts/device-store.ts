import { type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import type { DeviceState, Failure } from "./states.ts";

export type DeviceRow = Selectable<Schema["rollout_devices"]>;

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
             ${firstOrdinal + start} + d.position - 1, d.state, gen_random_uuid(),
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
  counted: Record<string, number>;
  bytes_downloaded: number;
  bytes_full: number;
  rollout_state: string;
  rollout_kind: "update" | "rollback";
  deadlines: Record<string, number>;
}

const TRACKED = sql`d.rollout_id, d.device_id, d.stage_index, d.state, d.update_id,
  d.target_sha256, d.cancelled_at, d.boot_id, d.excluded_reason, d.counted, d.bytes_downloaded,
  d.bytes_full, r.state as rollout_state, r.kind as rollout_kind,
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
        failure = c.failure::jsonb, finished_at = c.finished_at, boot_id = c.boot_id,
        format = coalesce(c.format, d.format), bytes_downloaded = c.bytes_downloaded,
        updated_at = ${now}
    from unnest(
      ${changes.map((row) => row.rolloutId)}::uuid[], ${changes.map((row) => row.deviceId)}::text[],
      ${changes.map((row) => row.state)}::text[],
      ${changes.map((row) => row.deadlineAt)}::timestamptz[],
      ${changes.map((row) => row.progress)}::real[],
      ${changes.map((row) => (row.failure ? JSON.stringify(row.failure) : null))}::text[],
      ${changes.map((row) => row.finishedAt)}::timestamptz[],
      ${changes.map((row) => row.bootId)}::text[], ${changes.map((row) => row.format)}::text[],
      ${changes.map((row) => row.bytesDownloaded)}::bigint[]
    ) as c(rollout_id, device_id, state, deadline_at, progress, failure, finished_at, boot_id,
      format, bytes_downloaded)
    where d.tenant_id = ${tenantId} and d.rollout_id = c.rollout_id
      and d.device_id = c.device_id`.execute(tx);
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
    update rollout_devices d set progress = c.progress, updated_at = ${now}
    from unnest(
      ${rows.map((row) => row.rolloutId)}::uuid[], ${rows.map((row) => row.deviceId)}::text[],
      ${rows.map((row) => row.progress)}::real[]
    ) as c(rollout_id, device_id, progress)
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

/** Takes back what nobody has taken up: pending devices, and offers that were never delivered. */
export async function lockUntouched(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  limit: number,
): Promise<Pick<TrackedDevice, "device_id" | "stage_index" | "state" | "excluded_reason">[]> {
  const { rows } = await sql<TrackedDevice>`
    select device_id, stage_index, state, excluded_reason from rollout_devices
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
      and (state = 'pending' or (state = 'offered' and phase_deadline_at is null))
    order by device_id limit ${limit} for update`.execute(tx);
  return rows;
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

/** Devices that wait for a word of a rollout, to be told that there is one. */
export async function offeredDevices(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
): Promise<string[]> {
  const rows = await tx
    .selectFrom("rollout_devices")
    .select("device_id")
    .where("tenant_id", "=", tenantId)
    .where("rollout_id", "=", rolloutId)
    .where("state", "=", "offered")
    .execute();
  return rows.map((row) => row.device_id);
}

export async function hasDeadlines(tx: Tx, tenantId: string, rolloutId: string): Promise<boolean> {
  const { rows } = await sql<{ any: boolean }>`
    select exists (select from rollout_devices
      where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
        and phase_deadline_at is not null) as any`.execute(tx);
  return rows[0]?.any ?? false;
}

export interface DeviceFilter {
  state?: DeviceState | undefined;
  stage?: number | undefined;
  afterOrdinal?: number | undefined;
}

/** In the order in which the rollout touches them. */
export async function listDevices(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  filter: DeviceFilter,
  limit: number,
): Promise<Omit<DeviceRow, "assignment" | "counted">[]> {
  let query = tx
    .selectFrom("rollout_devices")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("rollout_id", "=", rolloutId)
    .orderBy("ordinal")
    .limit(limit);
  if (filter.state) query = query.where("state", "=", filter.state);
  if (filter.stage !== undefined) query = query.where("stage_index", "=", filter.stage);
  if (filter.afterOrdinal !== undefined) query = query.where("ordinal", ">", filter.afterOrdinal);
  return query.execute();
}
