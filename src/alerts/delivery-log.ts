import { type RawBuilder, sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableText } from "../kernel/storable.ts";

/** What webhooks and alert channels write of their attempts: two tables with the same columns. */
type DeliveryTable = "webhook_deliveries" | "alert_deliveries";

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

export async function recordOutcome(
  tx: Tx,
  table: DeliveryTable,
  tenantId: string,
  id: string,
  outcome: DeliveryOutcome,
  now: Date,
): Promise<void> {
  const lastError = outcome.lastError === null ? null : storableText(outcome.lastError, 512);
  await sql`
    update ${sql.table(table)}
    set status = ${outcome.status}, next_attempt_at = ${outcome.nextAttemptAt},
        last_status = ${outcome.lastStatus}, last_error = ${lastError},
        delivered_at = ${outcome.status === "delivered" ? now : null}
    where tenant_id = ${tenantId} and id = ${id}`.execute(tx);
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
