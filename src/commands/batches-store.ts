import { type Insertable, type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import { LIMITS } from "../kernel/index.ts";
import { COMMAND_STATUSES, isFinalStatus } from "./lifecycle.ts";
import { nextRelease } from "./pacing.ts";
import type { BatchPage, BatchState, BatchView, CommandStatus, Pace } from "./types.ts";

type BatchRow = Selectable<Schema["command_batches"]>;

export type NewBatch = Omit<Insertable<Schema["command_batches"]>, "confined_to">;

export async function insertBatch(tx: Tx, batch: NewBatch): Promise<void> {
  await tx.insertInto("command_batches").values(batch).execute();
}

export async function lockBatch(tx: Tx, id: string): Promise<BatchRow | undefined> {
  return tx
    .selectFrom("command_batches")
    .selectAll()
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
}

/** Running batches of which something is due, locked; others look after those that are locked. */
export async function dueBatches(tx: Tx, now: Date, limit: number): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from command_batches
    where state = 'running' and release_at <= ${now}
    order by release_at limit ${limit} for update skip locked`.execute(tx);
  return rows.map((row) => row.id);
}

/** Releases what the pace allows now, in order, and says when to look again. */
export async function releaseDue(tx: Tx, id: string, nowMs: number): Promise<string[]> {
  const batch = await lockBatch(tx, id);
  if (batch?.state !== "running") return [];
  const counts = await countsOf(tx, [id]);
  const byStatus = counts.get(id) ?? emptyCounts();
  const waiting = await countHeld(tx, id);
  const underWay = byStatus.queued + byStatus.delivered + byStatus.accepted + byStatus.running;
  const { count, againAtMs } = nextRelease({ pace: paceOf(batch), waiting, underWay }, nowMs);
  await tx
    .updateTable("command_batches")
    .set({ release_at: againAtMs === null ? null : new Date(againAtMs) })
    .where("id", "=", id)
    .execute();
  return count === 0 ? [] : release(tx, batch, count, new Date(nowMs));
}

/** Those that wait for the pace; new attempts wait for their own moment. */
async function countHeld(tx: Tx, id: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from commands
    where batch_id = ${id} and status = 'waiting' and release_at is null`.execute(tx);
  return rows[0]?.count ?? 0;
}

/** The time that a command may take begins with its release. */
async function release(tx: Tx, batch: BatchRow, count: number, now: Date): Promise<string[]> {
  const { rows } = await sql<{ device_id: string }>`
    -- Materialised: a plan that runs it again for each row would release more than the limit.
    with next as materialized (
      select id from commands
      where batch_id = ${batch.id} and status = 'waiting' and release_at is null
      order by priority desc, seq limit ${count} for update skip locked
    )
    update commands c
    set status = 'queued',
        -- A new attempt keeps the expiry of the order.
        expires_at = case when c.attempt > 1 then c.expires_at
          else ${now}::timestamptz + make_interval(secs => ${batch.ttl_seconds}::int) end,
        deadline_at = ${now}::timestamptz + make_interval(secs => c.deliver_seconds)
    from next where c.id = next.id
    returning c.device_id`.execute(tx);
  return rows.map((row) => row.device_id);
}

/** Takes back what is not known to be delivered; new attempts wait with it. */
export async function holdQueued(tx: Tx, id: string): Promise<void> {
  await sql`
    update commands set status = 'waiting', deadline_at = null, release_at = null
    where id in (${undelivered(id)}) and status in ('queued', 'waiting')`.execute(tx);
}

/** Ends what is not known to be delivered; returns how many commands that were. */
export async function cancelOpen(tx: Tx, id: string, now: Date): Promise<number> {
  const { numAffectedRows } = await sql`
    update commands set status = 'cancelled', finished_at = ${now}
    where id in (${undelivered(id)}) and status in ('waiting', 'queued')`.execute(tx);
  return Number(numAffectedRows ?? 0);
}

/** Locked in the order of ids, as deliveries lock them. */
function undelivered(batchId: string) {
  return sql`
    select id from commands
    where batch_id = ${batchId} and status in ('waiting', 'queued')
    order by id for update`;
}

export async function setState(
  tx: Tx,
  id: string,
  state: "running" | "paused" | "cancelled",
  releaseAt: Date | null,
): Promise<void> {
  await tx
    .updateTable("command_batches")
    .set({ state, release_at: releaseAt })
    .where("id", "=", id)
    .execute();
}

export async function findBatch(tx: Tx, id: string): Promise<BatchView | undefined> {
  const row = await tx
    .selectFrom("command_batches")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  return row && viewOf(row, (await countsOf(tx, [id])).get(id) ?? emptyCounts());
}

/** Newest first. */
export async function listBatches(
  tx: Tx,
  filter: { cursor?: string | undefined; limit: number },
): Promise<BatchPage> {
  const limit = Math.min(Math.max(1, filter.limit), LIMITS.pageSize);
  let query = tx.selectFrom("command_batches").selectAll();
  if (filter.cursor !== undefined) query = query.where("id", "<", filter.cursor);
  const rows = await query
    .orderBy("id", "desc")
    .limit(limit + 1)
    .execute();
  const shown = rows.slice(0, limit);
  const counts = await countsOf(
    tx,
    shown.map((row) => row.id),
  );
  const items = shown.map((row) => viewOf(row, counts.get(row.id) ?? emptyCounts()));
  return { items, nextCursor: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
}

/** Devices by the state of their last attempt. */
async function countsOf(
  tx: Tx,
  ids: readonly string[],
): Promise<Map<string, Record<CommandStatus, number>>> {
  const { rows } = await sql<{ batch_id: string; status: CommandStatus; count: number }>`
    select batch_id, status, count(*) as count from commands
    where batch_id = any(${ids}::uuid[]) and retried_by is null
    group by 1, 2`.execute(tx);
  const counts = new Map<string, Record<CommandStatus, number>>();
  for (const { batch_id, status, count } of rows) {
    const of = counts.get(batch_id) ?? emptyCounts();
    of[status] = count;
    counts.set(batch_id, of);
  }
  return counts;
}

/** A batch all of whose commands have just been queued. */
export function viewOfQueued(batch: NewBatch): BatchView {
  const counts = { ...emptyCounts(), queued: batch.device_count };
  return viewOf(batch as BatchRow, counts);
}

function emptyCounts(): Record<CommandStatus, number> {
  return Object.fromEntries(COMMAND_STATUSES.map((status) => [status, 0])) as Record<
    CommandStatus,
    number
  >;
}

function paceOf({ concurrency, batch_size, interval_seconds }: BatchRow): Pace {
  return {
    ...(concurrency === null ? {} : { concurrency }),
    ...(batch_size === null ? {} : { batchSize: batch_size }),
    ...(interval_seconds === null ? {} : { intervalSeconds: interval_seconds }),
  };
}

function viewOf(row: BatchRow, counts: Record<CommandStatus, number>): BatchView {
  return {
    id: row.id,
    name: row.name,
    targetKind: row.target_kind,
    target: row.target,
    state: stateOf(row.state, counts),
    devices: row.device_count,
    counts,
    concurrency: row.concurrency,
    batchSize: row.batch_size,
    intervalSeconds: row.interval_seconds,
    ttlSeconds: row.ttl_seconds,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    traceparent: row.traceparent,
  };
}

/** A batch is done when nothing of it is open, whatever it was told before. */
function stateOf(told: BatchRow["state"], counts: Record<CommandStatus, number>): BatchState {
  if (told === "cancelled") return told;
  const isOpen = COMMAND_STATUSES.some((status) => !isFinalStatus(status) && counts[status] > 0);
  return isOpen ? told : "done";
}
