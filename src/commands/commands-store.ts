import { type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import { LIMITS } from "../kernel/index.ts";
import type { CommandPage, CommandStatus, CommandView, QueuedCommand } from "./types.ts";

export type CommandRow = Selectable<Schema["commands"]>;

/** What waits for each device, in the order of its queue. */
export async function queuedFor(
  tx: Tx,
  wanted: readonly { deviceId: string; limit: number }[],
  now: Date,
): Promise<Map<string, QueuedCommand[]>> {
  const { rows } = await sql<CommandRow>`/* prepared: queued-commands */
    select c.* from unnest(${wanted.map((one) => one.deviceId)}::text[],
                           ${wanted.map((one) => one.limit)}::int[]) as w(device_id, most)
    cross join lateral (
      select id, device_id, name, args, expires_at, traceparent, attempt, accept_seconds,
             run_seconds, priority, seq
      from commands q
      where q.device_id = w.device_id and q.status = 'queued' and q.expires_at > ${now}
        and (q.deadline_at is null or q.deadline_at > ${now})
      order by q.priority desc, q.seq limit w.most
    ) c
    order by c.device_id, c.priority desc, c.seq`.execute(tx);
  const messages = new Map<string, QueuedCommand[]>();
  for (const row of rows) {
    const waiting = messages.get(row.device_id);
    if (waiting) waiting.push(messageOf(row));
    else messages.set(row.device_id, [messageOf(row)]);
  }
  return messages;
}

function messageOf(row: CommandRow): QueuedCommand {
  return {
    seq: row.seq,
    id: row.id,
    name: row.name,
    args: row.args,
    expiresAt: row.expires_at.getTime(),
    traceparent: row.traceparent,
    ...(row.attempt > 1 ? { attempt: row.attempt } : {}),
    ...(row.accept_seconds === null ? {} : { acceptedSeconds: row.accept_seconds }),
    ...(row.run_seconds === null ? {} : { runningSeconds: row.run_seconds }),
  };
}

/** Only what still waits becomes delivered; everything else has gone further already. */
export async function setDelivered(
  tx: Tx,
  commands: readonly { deviceId: string; id: string }[],
  now: Date,
): Promise<void> {
  await sql`/* prepared: delivered-commands */
    update commands c
    set status = 'delivered', delivered_at = ${now}, release_at = null,
        deadline_at = ${now}::timestamptz + make_interval(secs => c.accept_seconds)
    from (
      -- Always in one order, so that two that lock the same commands do not wait for each other.
      select l.id from commands l
      join unnest(${commands.map((one) => one.id)}::uuid[],
                  ${commands.map((one) => one.deviceId)}::text[]) as t(id, device_id)
        on l.id = t.id and l.device_id = t.device_id
      order by l.id for update of l
    ) locked
    where c.id = locked.id and c.status in ('queued', 'waiting')`.execute(tx);
}

/** One device's command, locked until the transaction ends. */
export async function lockCommand(
  tx: Tx,
  id: string,
  deviceId?: string,
): Promise<CommandRow | undefined> {
  return tx
    .selectFrom("commands")
    .selectAll()
    .where("id", "=", id)
    .$if(deviceId !== undefined, (query) => query.where("device_id", "=", deviceId as string))
    .forUpdate()
    .executeTakeFirst();
}

export interface ResultChange {
  status: "accepted" | "running" | "succeeded" | "failed" | "rejected";
  output: string | null;
  error: string | null;
  progress: number | null;
  now: Date;
  finished: boolean;
}

export async function setResult(tx: Tx, row: CommandRow, change: ResultChange): Promise<void> {
  const { now } = change;
  const acceptedAt = row.accepted_at ?? now;
  const runsUntil =
    row.run_seconds === null ? null : new Date(acceptedAt.getTime() + row.run_seconds * 1_000);
  await tx
    .updateTable("commands")
    .set({
      status: change.status,
      output: change.output,
      error: change.error,
      progress: change.progress ?? row.progress,
      // A result proves the delivery, even where the acknowledgement was lost.
      delivered_at: row.delivered_at ?? now,
      accepted_at: acceptedAt,
      release_at: null,
      deadline_at: change.finished ? null : runsUntil,
      finished_at: change.finished ? now : null,
    })
    .where("id", "=", row.id)
    .execute();
}

/**
 * Adds a piece of the stream unless it has come before (pieces are numbered); keeps its end.
 */
export async function appendStream(
  tx: Tx,
  id: string,
  piece: { seq: number; text: string },
): Promise<void> {
  const most = LIMITS.commandStreamLength;
  await sql`
    update commands
    set stream = right(coalesce(stream, '') || ${piece.text}, ${most}),
        stream_cut = stream_cut or stream_next < ${piece.seq}
          or length(coalesce(stream, '')) + ${piece.text.length} > ${most},
        stream_next = ${piece.seq + 1}
    where id = ${id} and stream_next <= ${piece.seq}`.execute(tx);
}

/** The last word that came too late; a repetition replaces it by itself. */
export async function setLateResult(tx: Tx, id: string, result: string, now: Date): Promise<void> {
  await tx
    .updateTable("commands")
    .set({ late_result: result, late_result_at: now })
    .where("id", "=", id)
    .execute();
}

export async function setCancelled(tx: Tx, id: string, now: Date): Promise<void> {
  await tx
    .updateTable("commands")
    .set({ status: "cancelled", finished_at: now })
    .where("id", "=", id)
    .execute();
}

export async function findCommand(tx: Tx, id: string): Promise<CommandView | undefined> {
  const row = await tx.selectFrom("commands").selectAll().where("id", "=", id).executeTakeFirst();
  return row && { ...viewOf(row), stream: row.stream };
}

export interface CommandFilter {
  deviceId?: string | undefined;
  status?: CommandStatus | undefined;
  /** The last attempts of a batch. */
  batchId?: string | undefined;
  cursor?: string | undefined;
  limit: number;
}

/** Newest first; the ids are made in the order of time, so they serve as the cursor. */
export async function listCommands(tx: Tx, filter: CommandFilter): Promise<CommandPage> {
  const { deviceId, status, batchId, cursor } = filter;
  const limit = Math.min(Math.max(1, filter.limit), LIMITS.pageSize);
  let query = tx.selectFrom("commands").selectAll();
  if (deviceId !== undefined) query = query.where("device_id", "=", deviceId);
  if (status !== undefined) query = query.where("status", "=", status);
  if (batchId !== undefined) {
    query = query.where("batch_id", "=", batchId).where("retried_by", "is", null);
  }
  if (cursor !== undefined) query = query.where("id", "<", cursor);
  const rows = await query
    .orderBy("id", "desc")
    .limit(limit + 1)
    .execute();
  const items = rows.slice(0, limit).map(viewOf);
  return { items, nextCursor: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
}

const iso = (moment: Date | null): string | null => moment?.toISOString() ?? null;

function viewOf(row: CommandRow): CommandView {
  return {
    id: row.id,
    deviceId: row.device_id,
    batchId: row.batch_id,
    name: row.name,
    args: row.args,
    status: row.status,
    priority: row.priority,
    coalesceKey: row.coalesce_key,
    attempt: row.attempt,
    maxAttempts: row.max_attempts,
    retryDelaySeconds: row.retry_seconds,
    retryOn: row.retry_on,
    deadlines: {
      deliveredSeconds: row.deliver_seconds,
      acceptedSeconds: row.accept_seconds,
      runningSeconds: row.run_seconds,
    },
    retryOf: row.retry_of,
    retriedBy: row.retried_by,
    replacedBy: row.replaced_by,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    expiresAt: row.expires_at.toISOString(),
    deliveredAt: iso(row.delivered_at),
    acceptedAt: iso(row.accepted_at),
    finishedAt: iso(row.finished_at),
    progress: row.progress,
    output: row.output,
    error: row.error,
    stream: null,
    streamCut: row.stream_cut,
    lateResult: row.late_result,
    traceparent: row.traceparent,
  };
}
