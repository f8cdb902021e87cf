import { type RawBuilder, sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableText } from "../kernel/storable.ts";

/** What webhooks and alert channels write of their attempts: two tables with the same columns. */
export type DeliveryTable = "webhook_deliveries" | "alert_deliveries";

export interface DeliveryOutcome {
  status: "delivered" | "pending" | "failed";
  nextAttemptAt: Date | null;
  /** The receiver's status code; null when it gave none. */
  lastStatus: number | null;
  lastError: string | null;
}

/** A delivery as its log shows it, without what was to be delivered. */
export interface LoggedDelivery {
  id: string;
  status: DeliveryOutcome["status"];
  attempts: number;
  next_attempt_at: Date | null;
  last_status: number | null;
  last_error: string | null;
  created_at: Date;
  delivered_at: Date | null;
}

/** The columns of `LoggedDelivery`. */
export const LOG_COLUMNS: RawBuilder<unknown> = sql.raw(
  "id, status, attempts, next_attempt_at, last_status, last_error, created_at, delivered_at",
);

/** Who is told: the table of receivers, and the column that names one of them. */
const RECEIVERS = {
  webhook_deliveries: { table: "webhooks", column: "webhook_id" },
  alert_deliveries: { table: "alert_channels", column: "channel_id" },
} as const;

/**
 * Takes deliveries that are due and puts them off by the lease: should the process die while it sends, they
 * come up again. Of a receiver, what was said first goes first, and no more than `perReceiver` at once: one
 * that takes nothing leaves room for the others. A part of a statement, with the columns of the table.
 */
export function claimDue(
  table: DeliveryTable,
  tenantId: string,
  options: { now: Date; lease: Date; limit: number; perReceiver: number },
): RawBuilder<unknown> {
  const { now, lease, limit, perReceiver } = options;
  const [receivers, column] = [sql.table(RECEIVERS[table].table), sql.ref(RECEIVERS[table].column)];
  return sql`
    update ${sql.table(table)} d set attempts = d.attempts + 1, next_attempt_at = ${lease}
    where d.tenant_id = ${tenantId} and d.id in (
      select id from ${sql.table(table)}
      where tenant_id = ${tenantId} and status = 'pending' and next_attempt_at <= ${now}
        and id in (
          select due.id from ${receivers} r cross join lateral (
            select id, created_at from ${sql.table(table)}
            where tenant_id = ${tenantId} and ${column} = r.id
              and status = 'pending' and next_attempt_at <= ${now}
            order by created_at, id limit ${perReceiver}) due
          where r.tenant_id = ${tenantId}
          order by due.created_at, due.id limit ${limit})
      for update skip locked)
    returning d.*`;
}

/**
 * Writes down what came of an attempt. Whoever took longer than its lease says nothing of a failure: the
 * message is somebody else's by then.
 */
export async function recordOutcome(
  tx: Tx,
  table: DeliveryTable,
  tenantId: string,
  { id, lease }: { id: string; lease: Date },
  outcome: DeliveryOutcome,
  now: Date,
): Promise<void> {
  const lastError = outcome.lastError === null ? null : storableText(outcome.lastError, 512);
  const isDelivered = outcome.status === "delivered";
  await sql`
    update ${sql.table(table)}
    set status = ${outcome.status}, next_attempt_at = ${outcome.nextAttemptAt},
        last_status = ${outcome.lastStatus}, last_error = ${lastError},
        delivered_at = ${isDelivered ? now : null}
    where tenant_id = ${tenantId} and id = ${id}
      and (${isDelivered} or (status = 'pending' and next_attempt_at = ${lease}))`.execute(tx);
}

/** Puts deliveries off that were claimed and not tried: it was no attempt. */
export async function releaseDeliveries(
  tx: Tx,
  table: DeliveryTable,
  tenantId: string,
  { ids, lease }: { ids: readonly string[]; lease: Date },
  dueAt: Date,
): Promise<void> {
  await sql`
    update ${sql.table(table)} set attempts = attempts - 1, next_attempt_at = ${dueAt}
    where tenant_id = ${tenantId} and id = any(${[...ids]}::uuid[])
      and status = 'pending' and next_attempt_at = ${lease}`.execute(tx);
}

/** Forgets deliveries that ended and were queued before `before`, at most `limit` at once. */
export async function pruneDeliveries(
  tx: Tx,
  table: DeliveryTable,
  tenantId: string,
  before: Date,
  limit: number,
): Promise<void> {
  await sql`
    delete from ${sql.table(table)} where tenant_id = ${tenantId} and id in (
      select id from ${sql.table(table)}
      where tenant_id = ${tenantId} and status <> 'pending' and created_at < ${before}
      limit ${limit})`.execute(tx);
}
