import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableJson } from "../kernel/storable.ts";
import type { ChannelKind, ChannelSettingsDocument } from "./channel-settings.ts";
import { LOG_COLUMNS, type LoggedDelivery } from "./delivery-log.ts";
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
  kind: ChannelKind;
  settings: ChannelSettingsDocument;
  secret_sealed: Buffer | null;
}

/**
 * Takes messages that are due and puts them off by the lease: should the process die while it sends,
 * they come up again. Of a channel, what was said first goes first, and no more than `perChannel` at
 * once: one that takes nothing leaves room for the others.
 */
export async function claimDueNotifications(
  tx: Tx,
  tenantId: string,
  options: { now: Date; lease: Date; limit: number; perChannel: number },
): Promise<DueNotification[]> {
  const { now, lease, limit, perChannel } = options;
  const { rows } = await sql<DueNotification>`
    with claimed as (
      update alert_deliveries d set attempts = d.attempts + 1, next_attempt_at = ${lease}
      where d.tenant_id = ${tenantId} and d.id in (
        select id from alert_deliveries
        where tenant_id = ${tenantId} and status = 'pending' and next_attempt_at <= ${now}
          and id in (
            select id from (
              select id, created_at,
                     row_number() over (partition by channel_id order by created_at, id) as place
              from alert_deliveries
              where tenant_id = ${tenantId} and status = 'pending' and next_attempt_at <= ${now}
            ) due
            where place <= ${perChannel} order by created_at, id limit ${limit})
        order by created_at, id for update skip locked)
      returning d.id, d.channel_id, d.notification, d.attempts, d.created_at)
    select d.id, d.channel_id, d.notification, d.attempts, c.kind, c.settings, c.secret_sealed
    from claimed d join alert_channels c on c.tenant_id = ${tenantId} and c.id = d.channel_id
    order by d.created_at, d.id`.execute(tx);
  return rows;
}

/** Puts messages off that were claimed and not tried: it was no attempt. */
export async function releaseNotifications(
  tx: Tx,
  tenantId: string,
  ids: readonly string[],
  dueAt: Date,
): Promise<void> {
  await sql`
    update alert_deliveries set attempts = attempts - 1, next_attempt_at = ${dueAt}
    where tenant_id = ${tenantId} and id = any(${[...ids]}::uuid[]) and status = 'pending'`.execute(
    tx,
  );
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
