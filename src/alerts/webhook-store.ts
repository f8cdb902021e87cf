import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { claimDue, LOG_COLUMNS, type LoggedDelivery } from "./delivery-log.ts";
import type { CloudEvent } from "./events.ts";

export interface WebhookRow {
  id: string;
  url: string;
  event_types: string[];
  enabled: boolean;
  created_at: Date;
  created_by: string;
}

const WEBHOOK_COLUMNS = [
  "id",
  "url",
  "event_types",
  "enabled",
  "created_at",
  "created_by",
] as const;

export async function insertWebhook(
  tx: Tx,
  tenantId: string,
  webhook: WebhookRow & { secret_sealed: Buffer },
): Promise<void> {
  await tx
    .insertInto("webhooks")
    .values({ ...webhook, tenant_id: tenantId })
    .execute();
}

export async function listWebhooks(tx: Tx, tenantId: string): Promise<WebhookRow[]> {
  return tx
    .selectFrom("webhooks")
    .select(WEBHOOK_COLUMNS)
    .where("tenant_id", "=", tenantId)
    .orderBy("created_at")
    .orderBy("id")
    .execute();
}

export async function deleteWebhook(tx: Tx, tenantId: string, id: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("webhooks")
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

export async function disableWebhook(tx: Tx, tenantId: string, id: string): Promise<void> {
  await tx
    .updateTable("webhooks")
    .set({ enabled: false })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

/** Queues an event for every enabled webhook that wants its type and has room in its queue. */
export async function enqueueDeliveries(
  tx: Tx,
  tenantId: string,
  event: CloudEvent,
  now: Date,
  maxPending: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    insert into webhook_deliveries
      (tenant_id, id, webhook_id, event, status, next_attempt_at, created_at)
    select tenant_id, gen_random_uuid(), id, ${JSON.stringify(event)}::jsonb, 'pending',
           ${now}, ${now}
    from webhooks w
    where tenant_id = ${tenantId} and enabled
      and (event_types @> array['*'] or event_types @> array[${event.type}::text])
      and ${maxPending} > (select count(*) from (
        select 1 from webhook_deliveries d
        where d.tenant_id = ${tenantId} and d.webhook_id = w.id and d.status = 'pending'
        limit ${maxPending}) waiting)`.execute(tx);
  return Number(numAffectedRows ?? 0n);
}

export interface DueDelivery {
  id: string;
  webhook_id: string;
  event: CloudEvent;
  /** This attempt's number, from 1. */
  attempts: number;
  /** Until when it is the claimant's. */
  lease: Date;
  url: string;
  secret_sealed: Buffer;
}

/** Takes deliveries that are due, as `claimDue` does, each webhook's in their order. */
export async function claimDueDeliveries(
  tx: Tx,
  tenantId: string,
  options: Parameters<typeof claimDue>[2],
): Promise<DueDelivery[]> {
  const { rows } = await sql<DueDelivery>`
    with claimed as (${claimDue("webhook_deliveries", tenantId, options)})
    select d.id, d.webhook_id, d.event, d.attempts, d.next_attempt_at as lease,
           w.url, w.secret_sealed
    from claimed d join webhooks w on w.tenant_id = ${tenantId} and w.id = d.webhook_id
    order by d.created_at, d.id`.execute(tx);
  return rows;
}

export type WebhookDelivery = LoggedDelivery & { event: CloudEvent };

/** The log of a webhook's deliveries, newest first. */
export async function listDeliveries(
  tx: Tx,
  tenantId: string,
  webhookId: string,
  limit: number,
): Promise<WebhookDelivery[]> {
  const { rows } = await sql<WebhookDelivery>`
    select ${LOG_COLUMNS}, event from webhook_deliveries
    where tenant_id = ${tenantId} and webhook_id = ${webhookId}
    order by created_at desc, id desc limit ${limit}`.execute(tx);
  return rows;
}
