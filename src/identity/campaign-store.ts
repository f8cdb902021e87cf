import { type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import type { CampaignDeviceState, RotationFacts } from "./campaign-rules.ts";

export type CampaignRow = Selectable<Schema["rotation_campaigns"]>;
export type CampaignDeviceRow = Selectable<Schema["rotation_campaign_devices"]>;

/** Running campaigns that one tenant may have. */
export const MAX_RUNNING = 20;

/** Whoever begins campaigns of a tenant waits for others who do: each sees whom they have taken. */
export async function lockCreation(tx: Tx, tenantId: string): Promise<void> {
  const name = `rotation-campaigns:${tenantId}`;
  await sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(tx);
}

export async function countRunning(tx: Tx): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from rotation_campaigns where status in ('running', 'paused')`.execute(
    tx,
  );
  return rows[0]?.count ?? 0;
}

export async function insertCampaign(
  tx: Tx,
  tenantId: string,
  row: Pick<
    CampaignRow,
    | "id"
    | "query"
    | "concurrency"
    | "deadline_seconds"
    | "jitter_seconds"
    | "created_at"
    | "created_by"
    | "total"
  >,
): Promise<void> {
  await tx
    .insertInto("rotation_campaigns")
    .values({ tenant_id: tenantId, status: "running", waiting: row.total, ...row })
    .execute();
}

/** Devices that cannot rotate now, or are at it in another campaign, are skipped from the start. */
export async function insertCampaignDevices(
  tx: Tx,
  tenantId: string,
  campaignId: string,
  deviceIds: readonly string[],
): Promise<void> {
  await sql`
    insert into rotation_campaign_devices (tenant_id, campaign_id, device_id, state, error)
    select ${tenantId}, ${campaignId}, d.id,
      case when d.status <> 'active' or busy.device_id is not null then 'skipped' else 'waiting' end,
      case when d.status <> 'active' then 'the device is ' || d.status
           when busy.device_id is not null then 'the device rotates in another campaign' end
    from devices d
    left join (select distinct device_id from rotation_campaign_devices
               where state in ('waiting', 'scheduled', 'rotating')) busy on busy.device_id = d.id
    where d.id = any(${[...deviceIds]}::text[])`.execute(tx);
}

/** The campaign, locked until the transaction ends; undefined where another process has it. */
export async function lockCampaign(
  tx: Tx,
  id: string,
  options: { skipLocked: boolean },
): Promise<CampaignRow | undefined> {
  const query = tx.selectFrom("rotation_campaigns").selectAll().where("id", "=", id).forUpdate();
  return (options.skipLocked ? query.skipLocked() : query).executeTakeFirst();
}

export async function runningCampaigns(tx: Tx): Promise<string[]> {
  const rows = await tx
    .selectFrom("rotation_campaigns")
    .select("id")
    .where("status", "=", "running")
    .orderBy("id")
    .limit(MAX_RUNNING)
    .execute();
  return rows.map((row) => row.id);
}

export function findCampaign(tx: Tx, id: string): Promise<CampaignRow | undefined> {
  return tx.selectFrom("rotation_campaigns").selectAll().where("id", "=", id).executeTakeFirst();
}

/** Newest first. */
export function campaignsBefore(
  tx: Tx,
  cursor: string | undefined,
  limit: number,
): Promise<CampaignRow[]> {
  return tx
    .selectFrom("rotation_campaigns")
    .selectAll()
    .$if(cursor !== undefined, (query) => query.where("id", "<", cursor as string))
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
}

export function campaignDevices(
  tx: Tx,
  campaignId: string,
  filter: {
    state: CampaignDeviceState | undefined;
    after: string | undefined;
    limit: number;
  },
): Promise<CampaignDeviceRow[]> {
  return tx
    .selectFrom("rotation_campaign_devices")
    .selectAll()
    .where("campaign_id", "=", campaignId)
    .$if(filter.state !== undefined, (query) =>
      query.where("state", "=", filter.state as CampaignDeviceState),
    )
    .$if(filter.after !== undefined, (query) => query.where("device_id", ">", filter.after ?? ""))
    .orderBy("device_id")
    .limit(filter.limit)
    .execute();
}

export interface RotatingDevice extends RotationFacts {
  deviceId: string;
  commandId: string | null;
}

/** The first use may be a trial. A device that confirms nothing has made the certificate its own
 * when it has not come back with the old one for so long. */
const SETTLING_MS = 30_000;

/** What is known of the devices that were told to rotate. */
export async function rotatingDevices(
  tx: Tx,
  campaignId: string,
  now: Date,
): Promise<RotatingDevice[]> {
  const settledAt = new Date(now.getTime() - SETTLING_MS);
  const { rows } = await sql<{
    device_id: string;
    command_id: string | null;
    sent_at: Date;
    renewed: boolean;
    command_status: string | null;
    command_error: string | null;
    step: string | null;
    failed_step: string | null;
    failed_message: string | null;
  }>`
    select m.device_id, m.command_id, m.sent_at,
      exists (select from certificates x where x.tenant_id = m.tenant_id
        and x.device_id = m.device_id and x.issued_at >= m.sent_at
        and (x.confirmed_at is not null or x.first_used_at <= ${settledAt})
        and x.status = 'active') as renewed,
      c.status as command_status, c.error as command_error,
      case when r.updated_at >= m.sent_at then r.step end as step,
      f.step as failed_step, f.message as failed_message
    from rotation_campaign_devices m
    left join commands c on c.tenant_id = m.tenant_id and c.id = m.command_id
    left join certificate_rotations r on r.tenant_id = m.tenant_id and r.device_id = m.device_id
    left join lateral (
      select step, message from rotation_failures x
      where x.tenant_id = m.tenant_id and x.device_id = m.device_id and x.at >= m.sent_at
      order by seq desc limit 1
    ) f on true
    where m.campaign_id = ${campaignId} and m.state = 'rotating'`.execute(tx);
  return rows.map((row) => ({
    deviceId: row.device_id,
    commandId: row.command_id,
    sentAt: row.sent_at.getTime(),
    renewed: row.renewed,
    command:
      row.command_status === null ? null : { status: row.command_status, error: row.command_error },
    failure:
      row.failed_step === null
        ? null
        : { step: row.failed_step, message: row.failed_message ?? "" },
    step: row.step,
  }));
}

export interface DeviceChange {
  deviceId: string;
  state: CampaignDeviceState;
  dueAt?: Date;
  commandId?: string;
  sentAt?: Date;
  finishedAt?: Date;
  step?: string;
  error?: string;
}

export async function changeDevices(
  tx: Tx,
  campaignId: string,
  changes: readonly DeviceChange[],
): Promise<void> {
  for (const { deviceId, state, ...change } of changes) {
    await tx
      .updateTable("rotation_campaign_devices")
      .set({
        state,
        ...(change.dueAt ? { due_at: change.dueAt } : {}),
        ...(change.commandId ? { command_id: change.commandId } : {}),
        ...(change.sentAt ? { sent_at: change.sentAt } : {}),
        ...(change.finishedAt ? { finished_at: change.finishedAt } : {}),
        ...(change.step === undefined ? {} : { step: change.step }),
        ...(change.error === undefined ? {} : { error: change.error }),
      })
      .where("campaign_id", "=", campaignId)
      .where("device_id", "=", deviceId)
      .execute();
  }
}

/** The next devices to take up, out of those that can be reached now or of the others. */
export async function nextWaiting(
  tx: Tx,
  campaignId: string,
  { connected, limit }: { connected: boolean; limit: number },
): Promise<string[]> {
  if (limit === 0) return [];
  const { rows } = await sql<{ device_id: string }>`
    select m.device_id from rotation_campaign_devices m
    left join device_states s on s.tenant_id = m.tenant_id and s.device_id = m.device_id
    where m.campaign_id = ${campaignId} and m.state = 'waiting'
      and coalesce(s.connected, false) = ${connected}
    order by m.device_id limit ${limit}`.execute(tx);
  return rows.map((row) => row.device_id);
}

/**
 * How many devices are at it: who is connected or has its command, and who is neither and may come
 * at any time.
 */
export async function underWay(
  tx: Tx,
  campaignId: string,
): Promise<{ reachable: number; unreachable: number }> {
  const { rows } = await sql<{ reachable: number; unreachable: number }>`
    with told as (
      select coalesce(s.connected, false) or coalesce(c.status not in ('waiting', 'queued'), false)
        as reachable
      from rotation_campaign_devices m
      left join device_states s on s.tenant_id = m.tenant_id and s.device_id = m.device_id
      left join commands c on c.tenant_id = m.tenant_id and c.id = m.command_id
      where m.campaign_id = ${campaignId} and m.state in ('scheduled', 'rotating'))
    select count(*) filter (where reachable) as reachable,
           count(*) filter (where not reachable) as unreachable from told`.execute(tx);
  return rows[0] ?? { reachable: 0, unreachable: 0 };
}

export async function dueDevices(
  tx: Tx,
  campaignId: string,
  now: Date,
  limit: number,
): Promise<string[]> {
  const rows = await tx
    .selectFrom("rotation_campaign_devices")
    .select("device_id")
    .where("campaign_id", "=", campaignId)
    .where("state", "=", "scheduled")
    .where("due_at", "<=", now)
    .orderBy("due_at")
    .limit(limit)
    .execute();
  return rows.map((row) => row.device_id);
}

/** Commands of this campaign that were sent before a restart forgot to write it down. */
export async function sentBefore(
  tx: Tx,
  campaignId: string,
  deviceIds: readonly string[],
): Promise<Map<string, { id: string; createdAt: Date }>> {
  const { rows } = await sql<{ device_id: string; id: string; created_at: Date }>`
    select device_id, id, created_at from commands
    where device_id = any(${[...deviceIds]}::text[]) and name = 'rotate-certificate'
      and args ->> 'campaignId' = ${campaignId}`.execute(tx);
  return new Map(rows.map((row) => [row.device_id, { id: row.id, createdAt: row.created_at }]));
}

export interface CampaignCounts {
  waiting: number;
  scheduled: number;
  rotating: number;
  succeeded: number;
  failed: number;
  skipped: number;
  cancelled: number;
}

export async function countDevices(tx: Tx, campaignId: string): Promise<CampaignCounts> {
  const { rows } = await sql<{ state: keyof CampaignCounts; count: number }>`
    select state, count(*) as count from rotation_campaign_devices
    where campaign_id = ${campaignId} group by state`.execute(tx);
  const counts: CampaignCounts = {
    ...{ waiting: 0, scheduled: 0, rotating: 0, succeeded: 0 },
    ...{ failed: 0, skipped: 0, cancelled: 0 },
  };
  for (const { state, count } of rows) counts[state] = count;
  return counts;
}

/** Writes the counts beside the campaign's new status. */
export async function setCampaign(
  tx: Tx,
  id: string,
  counts: CampaignCounts,
  change: { status: CampaignRow["status"]; finishedAt: Date | null },
): Promise<void> {
  const { scheduled, waiting, ...others } = counts;
  await tx
    .updateTable("rotation_campaigns")
    .set({
      ...others,
      waiting: waiting + scheduled,
      status: change.status,
      finished_at: change.finishedAt,
    })
    .where("id", "=", id)
    .execute();
}

/** Ends what has not begun; returns the commands that were sent and may still wait. */
export async function cancelOpen(tx: Tx, campaignId: string, now: Date): Promise<string[]> {
  const { rows } = await sql<{ command_id: string | null }>`
    update rotation_campaign_devices set state = 'cancelled', finished_at = ${now}
    where campaign_id = ${campaignId} and state in ('waiting', 'scheduled', 'rotating')
    returning command_id`.execute(tx);
  return rows.flatMap((row) => (row.command_id === null ? [] : [row.command_id]));
}

export async function setTotal(tx: Tx, id: string, total: number): Promise<void> {
  await tx.updateTable("rotation_campaigns").set({ total }).where("id", "=", id).execute();
}
