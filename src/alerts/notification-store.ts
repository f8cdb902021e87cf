import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableJson } from "../kernel/storable.ts";
import type { ChannelKind, ChannelSettingsDocument } from "./channel-settings.ts";
import { claimDue, LOG_COLUMNS, type LoggedDelivery } from "./delivery-log.ts";
import type { Notification } from "./notification.ts";

/**
 * Queues a notification for the channels of these names (`*`: all) that are enabled and have room in
 * their queues. Returns how many it is queued for.
 */
export async function enqueueNotification(
  tx: Tx,
  tenantId: string,
  { channels, notification }: { channels: readonly string[]; notification: Notification },
  now: Date,
  maxPending: number,
): Promise<number> {
  const isEnd = notification.status === "resolved";
  const { numAffectedRows } = await sql`
    insert into alert_deliveries
      (tenant_id, id, channel_id, notification, status, next_attempt_at, created_at)
    select tenant_id, gen_random_uuid(), id, ${storableJson(notification)}::jsonb, 'pending',
           ${now}, ${now}
    from alert_channels c
    where tenant_id = ${tenantId} and enabled
      and (${channels.includes("*")} or name = any(${[...channels]}::text[]))
      and not (${isEnd} and coalesce((settings ->> 'sendResolved')::boolean, true) = false)
      and ${maxPending} > (select count(*) from (
        select 1 from alert_deliveries d
        where d.tenant_id = ${tenantId} and d.channel_id = c.id and d.status = 'pending'
        limit ${maxPending}) waiting)`.execute(tx);
  return Number(numAffectedRows ?? 0n);
}

/** A message that is sent at once, and claimed by the sender: it comes up again after the lease. */
export async function insertClaimed(
  tx: Tx,
  tenantId: string,
  delivery: { id: string; channelId: string; notification: Notification },
  { now, lease }: { now: Date; lease: Date },
): Promise<void> {
  await tx
    .insertInto("alert_deliveries")
    .values({
      tenant_id: tenantId,
      id: delivery.id,
      channel_id: delivery.channelId,
      notification: storableJson(delivery.notification),
      status: "pending",
      attempts: 1,
      next_attempt_at: lease,
      created_at: now,
    })
    .execute();
}

export interface DueNotification {
  id: string;
  channel_id: string;
  notification: Notification;
  /** This attempt's number, from 1. */
  attempts: number;
  /** Until when it is the claimant's. */
  lease: Date;
  kind: ChannelKind;
  settings: ChannelSettingsDocument;
  secret_sealed: Buffer | null;
}

/** Takes messages that are due, as `claimDue` does, each channel's in their order. */
export async function claimDueNotifications(
  tx: Tx,
  tenantId: string,
  options: Parameters<typeof claimDue>[2],
): Promise<DueNotification[]> {
  const { rows } = await sql<DueNotification>`
    with claimed as (${claimDue("alert_deliveries", tenantId, options)})
    select d.id, d.channel_id, d.notification, d.attempts, d.next_attempt_at as lease,
           c.kind, c.settings, c.secret_sealed
    from claimed d join alert_channels c on c.tenant_id = ${tenantId} and c.id = d.channel_id
    order by d.created_at, d.id`.execute(tx);
  return rows;
}

export async function channelForSending(
  tx: Tx,
  tenantId: string,
  id: string,
): Promise<Pick<DueNotification, "kind" | "settings" | "secret_sealed"> | undefined> {
  const row = await tx
    .selectFrom("alert_channels")
    .select(["kind", "settings", "secret_sealed"])
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .executeTakeFirst();
  return row as Pick<DueNotification, "kind" | "settings" | "secret_sealed"> | undefined;
}

export type LoggedNotification = LoggedDelivery & { notification: Notification };

/** The log of a channel's messages, newest first. */
export async function listNotifications(
  tx: Tx,
  tenantId: string,
  channelId: string,
  limit: number,
): Promise<LoggedNotification[]> {
  const { rows } = await sql<LoggedNotification>`
    select ${LOG_COLUMNS}, notification from alert_deliveries
    where tenant_id = ${tenantId} and channel_id = ${channelId}
    order by created_at desc, id desc limit ${limit}`.execute(tx);
  return rows;
}
