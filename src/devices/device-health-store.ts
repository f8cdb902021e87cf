import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableJson } from "../kernel/storable.ts";
import { type HealthFacts, type HealthVerdict, INCIDENTS_COUNT_MS } from "./health.ts";
import { fadedDrops } from "./link-drops.ts";
import type { DeviceStatus, Health, HealthReason, Presence } from "./types.ts";

/** Devices that one call judges; the caller comes back for the rest. */
export const HEALTH_BATCH = 1_000;
/** Alerts of one device that count. */
const MAX_ALERTS = 20;

/** A device as it was judged last, and what is known of it now. */
export interface DueHealth {
  deviceId: string;
  health: Health;
  reasons: HealthReason[];
  facts: HealthFacts;
}

interface Row {
  device_id: string;
  presence: Presence;
  presence_changed_at: Date | null;
  last_seen_at: Date | null;
  asleep_until: Date | null;
  drops: number;
  health: Health;
  health_reasons: HealthReason[];
  status: DeviceStatus;
  incidents: { kind: string; count: number; firstAt: number; lastAt: number }[];
  alerts: { kind: string; title: string; openedAt: number }[];
}

/** Asks for devices to be judged again; locks them in the order in which everybody does. */
export async function setHealthDue(tx: Tx, deviceIds: readonly string[], at: Date): Promise<void> {
  await sql`
    with due as (
      select device_id from device_states where device_id = any(${[...deviceIds]}::text[])
      order by device_id for update)
    update device_states s set health_due_at = least(s.health_due_at, ${at})
    from due where s.device_id = due.device_id`.execute(tx);
}

/** Devices whose health has to be judged, locked; reads no others (index `device_states_health_due`). */
export async function takeDueHealth(tx: Tx, tenantId: string, nowMs: number): Promise<DueHealth[]> {
  const now = new Date(nowMs);
  const { rows } = await sql<Row>`
    with due as materialized (
      select s.device_id, s.presence, s.presence_changed_at, s.last_seen_at, s.asleep_until,
             ${fadedDrops(sql`${now}::timestamptz`)} as drops, s.health, s.health_reasons
      from device_states s where s.health_due_at <= ${now}
      order by s.health_due_at limit ${HEALTH_BATCH} for update of s skip locked)
    select due.*, d.status,
      (select coalesce(jsonb_agg(jsonb_build_object('kind', i.kind, 'count', i.count,
                'firstAt', i.first_at, 'lastAt', i.last_at)), '[]')
       from (select kind, count(*) as count,
                    (extract(epoch from min(occurred_at)) * 1000)::bigint as first_at,
                    (extract(epoch from max(occurred_at)) * 1000)::bigint as last_at
             from device_incidents
             where tenant_id = ${tenantId} and device_id = due.device_id
               and kind in ('crash', 'fallback', 'self-test-failed')
               and occurred_at > ${new Date(nowMs - INCIDENTS_COUNT_MS)}
             group by kind) i) as incidents,
      (select coalesce(jsonb_agg(jsonb_build_object('kind', a.kind, 'title', a.title,
                'openedAt', (extract(epoch from a.opened_at) * 1000)::bigint)), '[]')
       from (select kind, title, opened_at from alerts
             where tenant_id = ${tenantId} and subject_kind = 'device'
               and subject_id = due.device_id and state <> 'resolved'
             order by opened_at desc limit ${MAX_ALERTS}) a) as alerts
    from due cross join lateral (
      select status from devices where tenant_id = ${tenantId} and id = due.device_id offset 0) d`.execute(
    tx,
  );
  return rows.map((row) => ({
    deviceId: row.device_id,
    health: row.health,
    reasons: row.health_reasons,
    facts: {
      presence: row.presence,
      presenceChangedAt: row.presence_changed_at?.getTime() ?? null,
      status: row.status,
      lastSeenAt: row.last_seen_at?.getTime() ?? null,
      asleepUntil: row.asleep_until?.getTime() ?? null,
      linkDrops: row.drops,
      wasFlapping: row.health_reasons.some(({ code }) => code === "link-flapping"),
      incidents: row.incidents,
      alerts: row.alerts,
    },
  }));
}

/** A verdict to be written, and whether the timeline tells of it. */
export interface Judged extends HealthVerdict {
  deviceId: string;
  previous: Health;
  isChange: boolean;
}

/** Writes verdicts, and an entry on the timeline of each device whose health is another now. */
export async function writeHealth(
  tx: Tx,
  tenantId: string,
  judged: readonly Judged[],
  nowMs: number,
): Promise<void> {
  const now = new Date(nowMs);
  await sql`
    with verdicts as (
      select * from unnest(
        ${judged.map((item) => item.deviceId)}::text[],
        ${judged.map((item) => item.health)}::text[],
        ${judged.map((item) => storableJson(item.reasons))}::text[],
        ${judged.map((item) => (item.dueAt === null ? null : new Date(item.dueAt)))}::timestamptz[],
        ${judged.map((item) => item.previous)}::text[],
        ${judged.map((item) => item.isChange)}::boolean[]
      ) as v(device_id, health, reasons, due_at, previous, is_change)
    ), written as (
      update device_states s set
        health = v.health, health_reasons = v.reasons::jsonb, health_due_at = v.due_at,
        health_changed_at = case when s.health = v.health then s.health_changed_at else ${now} end
      from verdicts v where s.device_id = v.device_id
    )
    insert into device_timeline (tenant_id, device_id, at, kind, details)
    select ${tenantId}, device_id, ${now}, 'health',
           jsonb_build_object('from', previous, 'to', health, 'reasons', reasons::jsonb)
    from verdicts where is_change`.execute(tx);
}
