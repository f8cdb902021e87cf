import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { DeviceState } from "./states.ts";

/** Updated devices of a stage that are silent now. */
export async function countAbsent(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  stageIndex: number,
): Promise<number> {
  const { rows } = await sql<{ devices: number }>`
    select count(*) as devices from rollout_devices
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and stage_index = ${stageIndex}
      and is_absent and state in ('confirming', 'succeeded')
      and excluded_reason is null`.execute(tx);
  return rows[0]?.devices ?? 0;
}

/** Devices that fell silent or came back since the last time; the list is shorter by them. */
export async function takePresence(tx: Tx, tenantId: string, limit: number): Promise<string[]> {
  const { rows } = await sql<{ device_id: string }>`
    delete from rollout_presence where tenant_id = ${tenantId} and device_id in (
      select device_id from rollout_presence where tenant_id = ${tenantId}
      order by device_id limit ${limit} for update skip locked)
    returning device_id`.execute(tx);
  return rows.map((row) => row.device_id);
}

/** What was silent before the rollout was there to hear of it; asked once, when it starts. */
export async function noteAbsent(tx: Tx, tenantId: string, rolloutId: string): Promise<void> {
  await sql`
    insert into rollout_presence (tenant_id, device_id)
    select s.tenant_id, s.device_id from device_states s
    join rollout_devices d on d.tenant_id = s.tenant_id and d.rollout_id = ${rolloutId}
      and d.device_id = s.device_id
    where s.tenant_id = ${tenantId} and s.presence = 'offline' and not d.is_absent
    on conflict do nothing`.execute(tx);
}

export interface Reappearing {
  rollout_id: string;
  device_id: string;
  state: DeviceState;
  excluded_reason: string | null;
  cohort: number;
  is_absent: boolean;
}

/** Writes how the devices stand now; returns those whose standing is another than before. */
export async function writePresence(
  tx: Tx,
  tenantId: string,
  rolloutIds: readonly string[],
  deviceIds: readonly string[],
): Promise<Reappearing[]> {
  const { rows } = await sql<Reappearing>`
    with seen as (
      select d.rollout_id, d.device_id, s.presence = 'offline' as is_absent
      from rollout_devices d
      join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.device_id
      where d.tenant_id = ${tenantId} and d.rollout_id = any(${[...rolloutIds]}::uuid[])
        and d.device_id = any(${[...deviceIds]}::text[])
        and d.is_absent <> (s.presence = 'offline')
      order by d.device_id, d.rollout_id for update of d)
    update rollout_devices d set is_absent = seen.is_absent
    from seen where d.tenant_id = ${tenantId} and d.rollout_id = seen.rollout_id
      and d.device_id = seen.device_id
    returning d.rollout_id, d.device_id, d.state, d.excluded_reason, d.cohort,
              d.is_absent`.execute(tx);
  return rows;
}
