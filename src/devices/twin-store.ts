import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableJson } from "../kernel/storable.ts";
import type { JsonObject } from "../protocol/index.ts";
import type { TwinView } from "./types.ts";

interface TwinRow {
  device_id: string;
  desired: JsonObject;
  desired_version: string;
  last_patch: JsonObject | null;
  desired_at: Date | null;
  desired_by: string | null;
  reported: JsonObject;
  reported_version: string;
  reported_at: Date | null;
  held_version: string;
  applied_version: string;
  fault: { version: number; message: string } | null;
}

/** A twin with what its delivery needs beside what people see. */
export interface Twin extends TwinView {
  deviceId: string;
  /** From the version before to this one; null where the device needs the whole document. */
  lastPatch: JsonObject | null;
  heldVersion: number;
}

/** Null where there is no such device; a device of which nothing was ever said has an empty twin. */
export async function findTwin(tx: Tx, deviceId: string): Promise<Twin | null> {
  const { rows } = await sql<TwinRow>`
    select d.id as device_id, coalesce(t.desired, '{}') as desired,
      coalesce(t.desired_version, 0) as desired_version, t.last_patch, t.desired_at, t.desired_by,
      coalesce(t.reported, '{}') as reported, coalesce(t.reported_version, 0) as reported_version,
      t.reported_at, coalesce(t.held_version, 0) as held_version,
      coalesce(t.applied_version, 0) as applied_version, t.fault
    from devices d left join twins t on t.tenant_id = d.tenant_id and t.device_id = d.id
    where d.id = ${deviceId}`.execute(tx);
  return rows[0] ? viewOf(rows[0]) : null;
}

/**
 * The twins of those of the devices that exist, locked until the transaction ends, in the order of
 * their ids: two changes of the same devices never wait for each other crosswise.
 */
export async function lockTwins(
  tx: Tx,
  tenantId: string,
  deviceIds: readonly string[],
): Promise<Twin[]> {
  await sql`
    insert into twins (tenant_id, device_id)
    select ${tenantId}, d.id from devices d where d.id = any(${deviceIds}::text[]) order by d.id
    on conflict do nothing`.execute(tx);
  const { rows } = await sql<TwinRow>`
    select * from twins where device_id = any(${deviceIds}::text[])
    order by device_id for update`.execute(tx);
  return rows.map(viewOf);
}

/** Writes new desired documents, each with its next version. */
export async function storeDesired(
  tx: Tx,
  changes: readonly { deviceId: string; desired: JsonObject; patch: JsonObject | null }[],
  by: { at: Date; actor: string },
): Promise<void> {
  await sql`
    update twins t set desired = c.desired::jsonb, last_patch = c.patch::jsonb,
      desired_version = t.desired_version + 1, desired_at = ${by.at}, desired_by = ${by.actor}
    from unnest(${changes.map(({ deviceId }) => deviceId)}::text[],
      ${changes.map(({ desired }) => storableJson(desired))}::text[],
      ${changes.map(({ patch }) => (patch ? storableJson(patch) : null))}::text[]
    ) as c(device_id, desired, patch)
    where t.device_id = c.device_id`.execute(tx);
}

/** Writes what a device says of itself. */
export async function storeReported(
  tx: Tx,
  deviceId: string,
  found: Pick<Twin, "reported" | "reportedVersion" | "heldVersion" | "appliedVersion" | "fault">,
  at: Date,
): Promise<void> {
  await sql`
    update twins set reported = ${storableJson(found.reported)}::jsonb,
      reported_version = ${found.reportedVersion}, reported_at = ${at},
      held_version = ${found.heldVersion}, applied_version = ${found.appliedVersion},
      fault = ${found.fault ? storableJson(found.fault) : null}::jsonb
    where device_id = ${deviceId}`.execute(tx);
}

/** Lifts the version above what a device holds, as after a restored backup. */
export async function liftDesired(tx: Tx, deviceId: string, above: number): Promise<void> {
  await sql`
    update twins set desired_version = ${above} + 1, last_patch = null
    where device_id = ${deviceId} and desired_version <= ${above}`.execute(tx);
}

function viewOf(row: TwinRow): Twin {
  return {
    deviceId: row.device_id,
    desired: row.desired,
    desiredVersion: Number(row.desired_version),
    desiredAt: row.desired_at?.toISOString() ?? null,
    desiredBy: row.desired_by,
    reported: row.reported,
    reportedVersion: Number(row.reported_version),
    reportedAt: row.reported_at?.toISOString() ?? null,
    appliedVersion: Number(row.applied_version),
    fault: row.fault,
    lastPatch: row.last_patch,
    heldVersion: Number(row.held_version),
  };
}
