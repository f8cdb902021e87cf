import { type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import type { RolloutPolicy } from "./policy.ts";
import type { DeviceState } from "./states.ts";

export type DeviceRow = Selectable<Schema["rollout_devices"]>;

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

/** Devices of any rollout that are here and have an offer which they have not begun, by id. */
export async function offeredAnywhere(
  tx: Tx,
  tenantId: string,
  { after, limit }: { after: string; limit: number },
): Promise<string[]> {
  const { rows } = await sql<{ device_id: string }>`
    select distinct d.device_id from rollout_devices d
    join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.device_id
    where d.tenant_id = ${tenantId} and d.device_id > ${after} and s.connected
      and d.state in ('offered', 'downloading', 'installing', 'rebooting', 'confirming')
      and d.state = 'offered' and r.state in ('running', 'succeeded', 'failed')
    order by d.device_id limit ${limit}`.execute(tx);
  return rows.map((row) => row.device_id);
}

export async function hasDeadlines(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  fromStage = 0,
): Promise<boolean> {
  const { rows } = await sql<{ any: boolean }>`
    select exists (select from rollout_devices
      where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
        and stage_index >= ${fromStage} and phase_deadline_at is not null) as any`.execute(tx);
  return rows[0]?.any ?? false;
}

export interface DeviceFilter {
  state?: DeviceState | undefined;
  stage?: number | undefined;
  after?: DevicePlace | undefined;
}

/** Where a device stands in its rollout: by stage, and in it by ordinal. */
export interface DevicePlace {
  stage: number;
  ordinal: number;
}

/** In the order in which the rollout touches them. */
export async function listDevices(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  filter: DeviceFilter,
  limit: number,
): Promise<Omit<DeviceRow, "assignment" | "counted">[]> {
  const { state, stage, after } = filter;
  // Those that wait and those that have begun have an index each; one statement, or who begins
  // meanwhile would be in both or in neither.
  const part = (isWaiting: boolean) => sql`(
    select * from rollout_devices
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId}::uuid
      and state ${isWaiting ? sql`=` : sql`<>`} 'pending'
      ${state === undefined ? sql`` : sql`and state = ${state}`}
      ${stage === undefined ? sql`` : sql`and stage_index = ${stage}`}
      ${after ? sql`and (stage_index, ordinal) > (${after.stage}::int, ${after.ordinal}::int)` : sql``}
    order by stage_index, ordinal limit ${limit})`;
  const { rows } = await sql<DeviceRow>`
    select * from (${part(true)} union all ${part(false)}) d
    order by stage_index, ordinal limit ${limit}`.execute(tx);
  return rows;
}

/** The last ordinal that the rollout has given, -1 where it has none; a look into each stage. */
export function lastOrdinal(tenantId: string, rolloutId: string) {
  const last = (standing: "=" | "<>") => sql`(
    select max(ordinal) from rollout_devices where tenant_id = ${tenantId}
      and rollout_id = ${rolloutId}::uuid and stage_index = st.stage_index
      and state ${sql.raw(standing)} 'pending')`;
  return sql`(select coalesce(max(greatest(${last("=")}, ${last("<>")})), -1)
    from rollout_stages st
    where st.tenant_id = ${tenantId} and st.rollout_id = ${rolloutId}::uuid)`;
}

/** What the policy of the rollout says of downloads for which the device fetches now. */
export async function findDownloads(
  tx: Tx,
  tenantId: string,
  deviceId: string,
): Promise<{ rollout_id: string; downloads: RolloutPolicy["downloads"] | null } | undefined> {
  const { rows } = await sql<{
    rollout_id: string;
    downloads: RolloutPolicy["downloads"] | null;
  }>`
    select d.rollout_id, r.policy -> 'downloads' as downloads
    from rollout_devices d
    join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
    where d.tenant_id = ${tenantId} and d.device_id = ${deviceId}
      and d.state in ('offered', 'downloading', 'installing', 'rebooting', 'confirming')
    order by d.offered_at desc nulls last limit 1`.execute(tx);
  return rows[0];
}
