import { type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import { type FleetQuery, fleetCondition } from "../devices/index.ts";
import { AppError, LIMITS } from "../kernel/index.ts";
import type { CommandMessage } from "../protocol/index.ts";
import { MAX_TARGETS } from "./lifecycle.ts";
import type { CommandPage, CommandStatus, CommandView, ExpiredCommand } from "./types.ts";

type CommandRow = Selectable<Schema["commands"]>;

/** Commands that one call lets expire; the caller comes back for the rest. */
export const EXPIRY_BATCH = 1_000;

export interface CommandInsert {
  name: string;
  /** JSON text. */
  args: string;
  createdAt: Date;
  createdBy: string;
  expiresAt: Date;
  traceparent: string | null;
}

/**
 * Makes the order of commits the order of `seq`, and the count of open commands exact: without it
 * a command could be sent before another that has the lower number.
 */
export async function lockQueue(tx: Tx, tenantId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`commands:${tenantId}`}, 0))`.execute(
    tx,
  );
}

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

/** Those of the devices whose queue is full. */
export async function fullQueues(tx: Tx, deviceIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ device_id: string }>`
    select device_id from commands
    where device_id = any(${deviceIds}::text[])
      and status in ('queued', 'delivered', 'accepted', 'running')
    group by device_id having count(*) >= ${LIMITS.commandsQueuedPerDevice}
    order by device_id`.execute(tx);
  return rows.map((row) => row.device_id);
}

/** Queues the command for every device, in one statement, and returns the new commands. */
export async function insertCommands(
  tx: Tx,
  tenantId: string,
  targets: readonly { id: string; deviceId: string }[],
  command: CommandInsert,
): Promise<CommandView[]> {
  const { rows } = await sql<CommandRow>`
    insert into commands
      (tenant_id, id, device_id, name, args, status, created_at, created_by, expires_at, traceparent)
    select ${tenantId}, t.id, t.device_id, ${command.name}, ${command.args}::jsonb, 'queued',
           ${command.createdAt}, ${command.createdBy}, ${command.expiresAt}, ${command.traceparent}
    from unnest(${targets.map((target) => target.id)}::uuid[],
                ${targets.map((target) => target.deviceId)}::text[]) as t(id, device_id)
    returning *`.execute(tx);
  return rows.map(viewOf);
}

/** What waits for a device, oldest first. */
export async function queuedFor(
  tx: Tx,
  deviceId: string,
  now: Date,
  limit: number,
): Promise<CommandMessage[]> {
  const rows = await tx
    .selectFrom("commands")
    .select(["id", "name", "args", "expires_at", "traceparent"])
    .where("device_id", "=", deviceId)
    .where("status", "=", "queued")
    .where("expires_at", ">", now)
    .orderBy("seq")
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    args: row.args,
    expiresAt: row.expires_at.getTime(),
    traceparent: row.traceparent,
  }));
}

/** Only what still waits becomes delivered; everything else has gone further already. */
export async function setDelivered(
  tx: Tx,
  deviceId: string,
  ids: readonly string[],
  now: Date,
): Promise<void> {
  await tx
    .updateTable("commands")
    .set({ status: "delivered", delivered_at: now })
    .where("device_id", "=", deviceId)
    .where("id", "in", [...ids])
    .where("status", "=", "queued")
    .execute();
}

/** The state of one device's command, locked until the transaction ends. */
export async function lockCommand(
  tx: Tx,
  id: string,
  deviceId?: string,
): Promise<{ status: CommandStatus; deviceId: string } | undefined> {
  const row = await tx
    .selectFrom("commands")
    .select(["status", "device_id"])
    .where("id", "=", id)
    .$if(deviceId !== undefined, (query) => query.where("device_id", "=", deviceId as string))
    .forUpdate()
    .executeTakeFirst();
  return row && { status: row.status, deviceId: row.device_id };
}

export async function setResult(
  tx: Tx,
  id: string,
  change: {
    status: "accepted" | "running" | "succeeded" | "failed" | "rejected";
    output: string | null;
    error: string | null;
    now: Date;
    finished: boolean;
  },
): Promise<void> {
  await tx
    .updateTable("commands")
    .set((eb) => ({
      status: change.status,
      output: change.output,
      error: change.error,
      // A result proves the delivery, even where the acknowledgement was lost.
      delivered_at: eb.fn.coalesce("delivered_at", eb.val(change.now)),
      finished_at: change.finished ? change.now : null,
    }))
    .where("id", "=", id)
    .execute();
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

/** Ends what is overdue, at most EXPIRY_BATCH of it; reads nothing else (`commands_expiring`). */
export async function expireOverdue(tx: Tx, now: Date): Promise<ExpiredCommand[]> {
  const { rows } = await sql<ExpiredCommand>`
    update commands c set status = 'expired', finished_at = ${now}
    from (
      select id from commands
      where expires_at <= ${now} and status in ('queued', 'delivered', 'accepted', 'running')
      order by expires_at limit ${EXPIRY_BATCH}
      for update skip locked
    ) due
    where c.id = due.id
    returning c.id, c.device_id as "deviceId", c.name`.execute(tx);
  return rows;
}

export async function findCommand(tx: Tx, id: string): Promise<CommandView | undefined> {
  const row = await tx.selectFrom("commands").selectAll().where("id", "=", id).executeTakeFirst();
  return row && viewOf(row);
}

/** Newest first; the ids are made in the order of time, so they serve as the cursor. */
export async function listCommands(
  tx: Tx,
  filter: {
    deviceId?: string | undefined;
    status?: CommandStatus | undefined;
    cursor?: string | undefined;
    limit: number;
  },
): Promise<CommandPage> {
  const limit = Math.min(Math.max(1, filter.limit), LIMITS.pageSize);
  const rows = await tx
    .selectFrom("commands")
    .selectAll()
    .$if(filter.deviceId !== undefined, (query) =>
      query.where("device_id", "=", filter.deviceId as string),
    )
    .$if(filter.status !== undefined, (query) =>
      query.where("status", "=", filter.status as CommandStatus),
    )
    .$if(filter.cursor !== undefined, (query) => query.where("id", "<", filter.cursor as string))
    .orderBy("id", "desc")
    .limit(limit + 1)
    .execute();
  const items = rows.slice(0, limit).map(viewOf);
  return { items, nextCursor: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
}

export function unknownTargets(asked: readonly string[], found: readonly string[]): AppError {
  const known = new Set(found);
  const missing = asked.filter((id) => !known.has(id));
  return new AppError("not-found", `no active device ${missing.slice(0, 10).join(", ")}`, {
    deviceIds: missing.slice(0, 100),
  });
}

function viewOf(row: CommandRow): CommandView {
  return {
    id: row.id,
    deviceId: row.device_id,
    name: row.name,
    args: row.args,
    status: row.status,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    expiresAt: row.expires_at.toISOString(),
    deliveredAt: row.delivered_at?.toISOString() ?? null,
    finishedAt: row.finished_at?.toISOString() ?? null,
    output: row.output,
    error: row.error,
    lateResult: row.late_result,
    traceparent: row.traceparent,
  };
}
