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
  // Planned each time: a plan kept from when the table was small reads the whole of it.
  await sql`
    with locked as materialized (
      select l.id
      -- Always in one order, so that two that lock the same commands do not wait for each other.
      from (select t.id, t.device_id
            from unnest(${commands.map((one) => one.id)}::uuid[],
                        ${commands.map((one) => one.deviceId)}::text[]) as t(id, device_id)
            order by t.id) t
      -- One by one, whatever the planner believes of the tenant's number of rows: it has read all of
      -- them for each of these.
      cross join lateral (
        select q.id, q.device_id, q.status from commands q where q.id = t.id limit 1 for update
      ) l
      where l.device_id = t.device_id and l.status in ('queued', 'waiting')
    )
    update commands c
    set status = 'delivered', delivered_at = ${now}, release_at = null,
        deadline_at = ${now}::timestamptz + make_interval(secs => c.accept_seconds)
    where c.id = any(array(select id from locked))`.execute(tx);
}

/** One command, locked until the transaction ends. */
export async function lockCommand(tx: Tx, id: string): Promise<CommandRow | undefined> {
  return tx.selectFrom("commands").selectAll().where("id", "=", id).forUpdate().executeTakeFirst();
}

/** What a report looks at and changes. */
export type ReportedRow = Pick<
  CommandRow,
  | "id"
  | "device_id"
  | "status"
  | "progress"
  | "delivered_at"
  | "accepted_at"
  | "run_seconds"
  | "attempt"
  | "max_attempts"
  | "retry_seconds"
  | "retry_on"
  | "expires_at"
>;

/** Commands that reports are about, locked in the order of ids, as deliveries lock them. */
export async function lockReported(
  tx: Tx,
  ids: readonly string[],
): Promise<Map<string, ReportedRow>> {
  const { rows } = await sql<ReportedRow>`/* prepared: reported-commands */
    select id, device_id, status, progress, delivered_at, accepted_at, run_seconds, attempt,
           max_attempts, retry_seconds, retry_on, expires_at
    from commands where id = any(${ids}::uuid[])
    order by id for update`.execute(tx);
  return new Map(rows.map((row) => [row.id, row]));
}

/** Where reports have brought a command; `output` is JSON text. */
export interface ReportedState {
  id: string;
  status: CommandStatus;
  output: string | null;
  error: string | null;
  progress: number | null;
  deliveredAt: Date;
  acceptedAt: Date;
  deadlineAt: Date | null;
  finishedAt: Date | null;
}

export async function setReported(tx: Tx, states: readonly ReportedState[]): Promise<void> {
  if (states.length === 0) return;
  const column = <Key extends keyof ReportedState>(key: Key) => states.map((state) => state[key]);
  // Planned each time, and the ids named once more, so that they are looked up by the key.
  await sql`
    update commands c
    set status = t.status, output = t.output, error = t.error, progress = t.progress,
        delivered_at = t.delivered_at, accepted_at = t.accepted_at, release_at = null,
        deadline_at = t.deadline_at, finished_at = t.finished_at
    from unnest(${column("id")}::uuid[], ${column("status")}::text[],
                ${column("output")}::jsonb[], ${column("error")}::text[],
                ${column("progress")}::float8[], ${column("deliveredAt")}::timestamptz[],
                ${column("acceptedAt")}::timestamptz[], ${column("deadlineAt")}::timestamptz[],
                ${column("finishedAt")}::timestamptz[])
      as t(id, status, output, error, progress, delivered_at, accepted_at, deadline_at,
           finished_at)
    where c.id = t.id and c.id = any(${column("id")}::uuid[])`.execute(tx);
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
