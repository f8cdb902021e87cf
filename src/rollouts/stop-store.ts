import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

/** The tenant's kill switch, while it is on. */
export interface UpdateStop {
  stoppedAt: Date;
  stoppedBy: string;
  reason: string;
}

export async function readStop(tx: Tx, tenantId: string): Promise<UpdateStop | null> {
  const { rows } = await sql<UpdateStop>`
    select stopped_at as "stoppedAt", stopped_by as "stoppedBy", reason from rollout_stops
    where tenant_id = ${tenantId}`.execute(tx);
  return rows[0] ?? null;
}

/** False when it was on already. */
export async function writeStop(tx: Tx, tenantId: string, stop: UpdateStop): Promise<boolean> {
  const { rows } = await sql`
    insert into rollout_stops (tenant_id, stopped_at, stopped_by, reason)
    values (${tenantId}, ${stop.stoppedAt}, ${stop.stoppedBy}, ${stop.reason})
    on conflict do nothing returning 1`.execute(tx);
  return rows.length > 0;
}

export async function removeStop(tx: Tx, tenantId: string): Promise<boolean> {
  const { rows } = await sql`
    delete from rollout_stops where tenant_id = ${tenantId} returning 1`.execute(tx);
  return rows.length > 0;
}

/** Failures of a device before this moment count no more. False for a device that is not there. */
export async function writePardon(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  by: string,
  now: Date,
): Promise<boolean> {
  const { rows } = await sql`
    insert into rollout_pardons (tenant_id, device_id, pardoned_at, pardoned_by)
    select tenant_id, id, ${now}, ${by} from devices
    where tenant_id = ${tenantId} and id = ${deviceId}
    on conflict (tenant_id, device_id)
      do update set pardoned_at = excluded.pardoned_at, pardoned_by = excluded.pardoned_by
    returning 1`.execute(tx);
  return rows.length > 0;
}

/** Where a rollout's policy says nothing else. */
export const DEFAULT_PENALTY = { failures: 3, days: 30 };

/** Query for devices whose updates failed so often in so many days and that nobody has pardoned. */
export function penalisedSince(
  tenantId: string,
  { failures, days }: { failures: number; days: number },
  nowMs: number,
) {
  return sql`
    select d.device_id, count(*) as failures, max(d.finished_at) as last_failed_at
    from rollout_devices d
    left join rollout_pardons g on g.tenant_id = d.tenant_id and g.device_id = d.device_id
    where d.tenant_id = ${tenantId} and d.finished_at >= ${new Date(nowMs - days * 86_400_000)}
      and d.state in ('failed', 'fell-back', 'rejected', 'silent')
      and (g.pardoned_at is null or d.finished_at > g.pardoned_at)
    group by d.device_id having count(*) >= ${failures}`;
}

export interface PenalisedDevice {
  deviceId: string;
  failures: number;
  lastFailedAt: Date;
}

/** Devices in the penalty box of rollouts without a limit of their own, the latest first. */
export async function penalisedDevices(
  tx: Tx,
  tenantId: string,
  nowMs: number,
  limit: number,
): Promise<PenalisedDevice[]> {
  const { rows } = await sql<PenalisedDevice>`
    select device_id as "deviceId", failures, last_failed_at as "lastFailedAt"
    from (${penalisedSince(tenantId, DEFAULT_PENALTY, nowMs)}) box
    order by 3 desc, 1 limit ${limit}`.execute(tx);
  return rows;
}
