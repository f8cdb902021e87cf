import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { insertAttempts } from "./attempts-store.ts";
import { dueBatches, releaseDue } from "./batches-store.ts";
import type { CommandRow } from "./commands-store.ts";
import { outcomeWhenDue } from "./lifecycle.ts";
import type { EndedCommand } from "./types.ts";

/** Commands that one look lets end; the caller comes back for the rest. */
export const EXPIRY_BATCH = 1_000;
const BATCHES_AT_ONCE = 20;

export interface DueWork {
  ended: EndedCommand[];
  /** Devices for which something is queued now. */
  woken: string[];
}

/**
 * Does what is due, at most EXPIRY_BATCH commands of it and a chunk of each batch: ends what is
 * late, releases new attempts and what the pace of a batch allows. Reads only what is due.
 */
export async function doDue(tx: Tx, nowMs: number): Promise<DueWork> {
  const now = new Date(nowMs);
  const { ended, released } = await settleDue(tx, now);
  const woken = [...released];
  for (const id of await dueBatches(tx, now, BATCHES_AT_ONCE)) {
    woken.push(...(await releaseDue(tx, id, nowMs)));
  }
  return { ended, woken: [...new Set(woken)] };
}

async function settleDue(
  tx: Tx,
  now: Date,
): Promise<{ ended: EndedCommand[]; released: string[] }> {
  const { rows } = await sql<CommandRow>`
    select * from commands where due_at <= ${now}
    order by due_at limit ${EXPIRY_BATCH} for update skip locked`.execute(tx);
  const ends: { row: CommandRow; status: "expired" | "timed-out"; error: string | null }[] = [];
  const releases: CommandRow[] = [];
  for (const row of rows) {
    const outcome = outcomeWhenDue(
      {
        status: row.status,
        expiresAtMs: row.expires_at.getTime(),
        deadlineAtMs: row.deadline_at?.getTime() ?? null,
        releaseAtMs: row.release_at?.getTime() ?? null,
      },
      now.getTime(),
    );
    if (outcome.act === "end") ends.push({ row, ...outcome });
    else if (outcome.act === "release") releases.push(row);
  }
  await setEnds(tx, ends, now);
  await setQueued(tx, releases, now);
  await insertAttempts(tx, ends, now.getTime());
  return {
    ended: ends.map(({ row }) => ({ id: row.id, deviceId: row.device_id, name: row.name })),
    released: releases.map((row) => row.device_id),
  };
}

async function setEnds(
  tx: Tx,
  ends: readonly { row: CommandRow; status: string; error: string | null }[],
  now: Date,
): Promise<void> {
  if (ends.length === 0) return;
  await sql`
    update commands c set status = t.status, error = t.error, finished_at = ${now}
    from unnest(${ends.map(({ row }) => row.id)}::uuid[],
                ${ends.map(({ status }) => status)}::text[],
                ${ends.map(({ error }) => error)}::text[]) as t(id, status, error)
    where c.id = t.id`.execute(tx);
}

/** New attempts within a paced or paused batch take their turn again like all the others. */
async function setQueued(tx: Tx, rows: readonly CommandRow[], now: Date): Promise<void> {
  if (rows.length === 0) return;
  const isHeld = sql`b.state = 'paused' or b.concurrency is not null or b.batch_size is not null`;
  await sql`
    update commands c
    set status = case when ${isHeld} then 'waiting' else 'queued' end, release_at = null,
        deadline_at = case when ${isHeld} then null
          else ${now}::timestamptz + make_interval(secs => c.deliver_seconds) end
    from commands x left join command_batches b on b.id = x.batch_id
    where c.id = x.id and x.id = any(${rows.map((row) => row.id)}::uuid[])`.execute(tx);
  const batchIds = [...new Set(rows.flatMap((row) => row.batch_id ?? []))];
  if (batchIds.length === 0) return;
  await sql`
    update command_batches b set release_at = coalesce(release_at, ${now}::timestamptz)
    where id = any(${batchIds}::uuid[]) and state = 'running'
      and (${isHeld})`.execute(tx);
}
