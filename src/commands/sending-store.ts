import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { type FleetQuery, fleetCondition } from "../devices/index.ts";
import { LIMITS } from "../kernel/index.ts";
import type { NewBatch } from "./batches-store.ts";
import { MAX_TARGETS } from "./new-command.ts";

/** The active devices among `ids`; the others are unknown or may not be spoken to. */
export async function activeDevices(tx: Tx, ids: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from devices where id = any(${ids}::text[]) and status = 'active' order by id`.execute(
    tx,
  );
  return rows.map((row) => row.id);
}

/** The active devices that a query finds, and at most one more than may be addressed. */
export async function devicesByQuery(tx: Tx, query: FleetQuery, nowMs: number): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select d.id from devices d
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.id
    where d.status = 'active' and ${fleetCondition(query, nowMs)}
    order by d.id limit ${MAX_TARGETS + 1}`.execute(tx);
  return rows.map((row) => row.id);
}

export async function queryOfGroup(tx: Tx, name: string): Promise<string | undefined> {
  const row = await tx
    .selectFrom("device_groups")
    .select("query")
    .where("name", "=", name)
    .executeTakeFirst();
  return row?.query;
}

/** Those of the devices whose queue has no room for `more` (by device) commands. */
export async function fullQueues(tx: Tx, more: ReadonlyMap<string, number>): Promise<string[]> {
  const { rows } = await sql<{ device_id: string }>`
    select t.device_id
    from unnest(${[...more.keys()]}::text[], ${[...more.values()]}::int[]) as t(device_id, more)
    cross join lateral (
      select count(*) as held from commands c
      where c.device_id = t.device_id
        and c.status in ('waiting', 'queued', 'delivered', 'accepted', 'running')
    ) queue
    where queue.held + t.more > ${LIMITS.commandsQueuedPerDevice}
    order by 1`.execute(tx);
  return rows.map((row) => row.device_id);
}

/** Commands of the tenant that have not come to an end. */
export async function countOpen(tx: Tx): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from commands
    where status in ('waiting', 'queued', 'delivered', 'accepted', 'running')`.execute(tx);
  return rows[0]?.count ?? 0;
}

/** Ends the undelivered commands of the key on these devices: newer ones take their place. */
export async function replaceOlder(
  tx: Tx,
  key: string,
  targets: readonly { id: string; deviceId: string }[],
  now: Date,
): Promise<void> {
  await sql`
    update commands c set status = 'replaced', replaced_by = older.newer, finished_at = ${now}
    from (
      select l.id, t.id as newer from commands l
      join unnest(${targets.map((target) => target.id)}::uuid[],
                  ${targets.map((target) => target.deviceId)}::text[]) as t(id, device_id)
        on l.device_id = t.device_id
      where l.coalesce_key = ${key} and l.status in ('waiting', 'queued')
      order by l.id for update of l
    ) older
    where c.id = older.id and c.status in ('waiting', 'queued')`.execute(tx);
}

/** One order as it is stored with each of its commands; JSON, with times as ISO 8601. */
export interface CommandRecord {
  name: string;
  args: unknown;
  status: "waiting" | "queued";
  batch_id: string | null;
  priority: number;
  coalesce_key: string | null;
  deliver_seconds: number | null;
  accept_seconds: number | null;
  run_seconds: number | null;
  deadline_at: string | null;
  max_attempts: number;
  retry_seconds: number;
  retry_on: readonly string[];
  created_at: string;
  created_by: string;
  expires_at: string;
  traceparent: string | null;
}

const COLUMNS = sql.raw(`tenant_id, id, device_id, name, args, status, batch_id, priority,
  coalesce_key, deliver_seconds, accept_seconds, run_seconds, deadline_at, max_attempts,
  retry_seconds, retry_on, created_at, created_by, expires_at, traceparent`);
const OF_RECORD = sql.raw(`r.name, r.args, r.status, r.batch_id, r.priority, r.coalesce_key,
  r.deliver_seconds, r.accept_seconds, r.run_seconds, r.deadline_at, r.max_attempts,
  r.retry_seconds, r.retry_on, r.created_at, r.created_by, r.expires_at, r.traceparent`);
const RECORD = sql.raw(`number int, name text, args jsonb, status text, batch_id uuid,
  priority smallint, coalesce_key text, deliver_seconds int, accept_seconds int, run_seconds int,
  deadline_at timestamptz, max_attempts smallint, retry_seconds int, retry_on text[],
  created_at timestamptz, created_by text, expires_at timestamptz, traceparent text`);

const BATCH_COLUMNS = sql.raw(`tenant_id, id, name, target_kind, target, state, device_count,
  ttl_seconds, concurrency, batch_size, interval_seconds, release_at, created_at, created_by,
  traceparent`);
const BATCH =
  sql.raw(`tenant_id text, id uuid, name text, target_kind text, target text, state text,
  device_count int, ttl_seconds int, concurrency int, batch_size int, interval_seconds int,
  release_at timestamptz, created_at timestamptz, created_by text, traceparent text`);

export interface CommandTarget {
  id: string;
  deviceId: string;
  /** Which of the records it is. */
  record: number;
}

/** Queues commands in their order. */
export async function insertCommands(
  tx: Tx,
  tenantId: string,
  targets: readonly CommandTarget[],
  records: readonly CommandRecord[],
): Promise<void> {
  await sql`
    insert into commands (${COLUMNS})
    select ${tenantId}, t.id, t.device_id, ${OF_RECORD}
    from ${ordered(targets)}
    join jsonb_to_recordset(${numbered(records)}::jsonb) as r(${RECORD}) on r.number = t.record
    order by t.place`.execute(tx);
}

/** What became of a command that was to be queued. */
export interface Queued {
  outcome: "queued" | "unknown-device" | "queue-full";
  /** Its place in the order of the device's queue. */
  seq: number | null;
  /** The last that waited for delivery before it; null where none did. */
  ahead: number | null;
}

/**
 * Queues orders, each if its devices are active and their queues have room: the looks and the insert
 * in one statement, for this is what a call of the API waits for. An order is taken for all of its
 * devices or for none. Answers in the order of the targets.
 */
export async function queueEach(
  tx: Tx,
  tenantId: string,
  orders: {
    targets: readonly CommandTarget[];
    /** One for each order. */
    records: readonly CommandRecord[];
    /** Of those orders that make one. */
    batches: readonly NewBatch[];
  },
): Promise<Queued[]> {
  const { targets, records, batches } = orders;
  const { rows } = await sql<Queued>`/* prepared: queue-commands */
    with wanted as (
      select t.*, d.id is not null as is_active,
             bool_and(d.id is not null) over (partition by t.record) as is_whole
      from ${ordered(targets)}
      left join lateral (
        -- One by one, whatever the planner believes: see setDelivered.
        select id from devices where id = t.device_id and status = 'active' limit 1
      ) d on true
    ), placed as (
      select w.*, row_number() over (partition by w.device_id order by w.place) as more
      from wanted w where w.is_whole
    ), queue as (
      select p.device_id,
             (select count(*) from commands c where c.device_id = p.device_id
                and c.status in ('waiting', 'queued', 'delivered', 'accepted', 'running')) as held,
             (select max(c.seq) from commands c
              where c.device_id = p.device_id and c.status = 'queued') as ahead
      from placed p where p.more = 1
    ), taken as (
      select p.*, bool_and(q.held + p.more <= ${LIMITS.commandsQueuedPerDevice})
                    over (partition by p.record) as fits
      from placed p join queue q using (device_id)
    ), added as (
      insert into commands (${COLUMNS})
      select ${tenantId}, t.id, t.device_id, ${OF_RECORD}
      from taken t
      join jsonb_to_recordset(${numbered(records)}::jsonb) as r(${RECORD}) on r.number = t.record
      where t.fits
      order by t.place
      returning id, seq, batch_id
    ), batches as (
      insert into command_batches (${BATCH_COLUMNS})
      select ${BATCH_COLUMNS} from jsonb_to_recordset(${JSON.stringify(batches)}::jsonb) as b(${BATCH})
      where b.id in (select batch_id from added)
    )
    select a.seq, q.ahead,
           case when not w.is_active then 'unknown-device' when a.id is null then 'queue-full'
                else 'queued' end as outcome
    from wanted w left join queue q using (device_id) left join added a on a.id = w.id
    order by w.place`.execute(tx);
  return rows;
}

function ordered(targets: readonly CommandTarget[]) {
  return sql`unnest(${targets.map((target) => target.id)}::uuid[],
                    ${targets.map((target) => target.deviceId)}::text[],
                    ${targets.map((target) => target.record)}::int[])
             with ordinality as t(id, device_id, record, place)`;
}

function numbered(records: readonly CommandRecord[]): string {
  return JSON.stringify(records.map((record, number) => ({ ...record, number })));
}
