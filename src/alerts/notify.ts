import type { Database } from "../db/index.ts";
import { type Clock, messageOf, timeOrderedId } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter } from "../kernel/metrics.ts";
import type { Sealer } from "../kernel/sealing.ts";
import { channelContext } from "./channel-settings.ts";
import { outcomeOf } from "./delivery.ts";
import { type DeliveryOutcome, pruneDeliveries, recordOutcome } from "./delivery-log.ts";
import { notificationOf } from "./notification.ts";
import * as store from "./notification-store.ts";
import { type Message, type SendingDeps, type Sent, sendMessage } from "./senders.ts";

const sent = counter(
  "vautn_alert_notifications_total",
  "Attempts to tell of alerts, by kind of channel and outcome",
  ["kind", "outcome"],
);

const TABLE = "alert_deliveries";
const BATCH = 50;
const PER_CHANNEL = 10;
const CONCURRENCY = 5;
/** Until the next of a channel is tried where the one before it was given up. */
const AFTER_SILENCE_MS = 30_000;
/** Longer than an attempt can take: a message whose worker died comes up again after it. */
const LEASE_MS = 120_000;
const KEEP_MS = 30 * 24 * 3_600_000;
const PRUNE_BATCH = 500;

export interface DeliveryDeps extends SendingDeps {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  logger: Logger;
}

/**
 * Sends what is due for a tenant, each message at least once, with an id that stays the same in every
 * attempt. Returns how many attempts were made.
 */
export async function notifyDue(deps: DeliveryDeps, tenantId: string): Promise<number> {
  const now = deps.clock.now();
  const due = await deps.db.tenant(tenantId, async (tx) => {
    await pruneDeliveries(tx, TABLE, tenantId, new Date(now - KEEP_MS), PRUNE_BATCH);
    const lease = new Date(now + LEASE_MS);
    const most = { limit: BATCH, perChannel: PER_CHANNEL };
    return store.claimDueNotifications(tx, tenantId, { now: new Date(now), lease, ...most });
  });
  // One channel's messages in their order: an end must not arrive before its beginning.
  const byChannel = Map.groupBy(due, ({ channel_id }) => channel_id);
  const queue = [...byChannel.values()];
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      await tellChannel(deps, tenantId, next);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return due.length;
}

/**
 * A channel's messages one after the other. Where nobody answers, the rest is not tried: each would take
 * as long to fail, and what others are to be told would wait for it.
 */
async function tellChannel(
  deps: DeliveryDeps,
  tenantId: string,
  messages: readonly store.DueNotification[],
): Promise<void> {
  for (const [index, message] of messages.entries()) {
    const { lastStatus, lastError, nextAttemptAt } = await attempt(deps, tenantId, message);
    if (lastError === null || lastStatus !== null) continue;
    const rest = messages.slice(index + 1).map(({ id }) => id);
    const dueAt = nextAttemptAt ?? new Date(deps.clock.now() + AFTER_SILENCE_MS);
    await deps.db.tenant(tenantId, (tx) => store.releaseNotifications(tx, tenantId, rest, dueAt));
    return;
  }
}

/** Sends a test and records what came of it, under the id that it gives; it is not tried again. */
export async function sendTest(
  deps: DeliveryDeps,
  tenantId: string,
  channel: { id: string; name: string },
  who: string,
): Promise<string> {
  const now = new Date(deps.clock.now());
  const id = timeOrderedId(now.getTime());
  const alert = {
    ...{ id, kind: "test", severity: "info" as const, state: "open" as const, occurrences: 1 },
    title: `${who} tries the channel "${channel.name}"`,
    subject_kind: "channel",
    subject_id: channel.name,
    details: {},
    opened_at: now,
    last_seen_at: now,
    ...{ acknowledged_at: null, acknowledged_by: null, resolved_at: null, resolved_by: null },
    ...{ labels: {}, annotations: {}, rule_id: null },
  };
  const group = { route: "test", labels: { channel: channel.name } };
  const saying = { firing: [id], resolved: [], isAcknowledged: false, escalation: null };
  const notification = {
    ...notificationOf(tenantId, group, saying, new Map([[id, alert]])),
    isTest: true as const,
  };
  const lease = new Date(now.getTime() + LEASE_MS);
  const target = await deps.db.tenant(tenantId, async (tx) => {
    const found = await store.channelForSending(tx, tenantId, channel.id);
    const delivery = { id, channelId: channel.id, notification };
    if (found) await store.insertClaimed(tx, tenantId, delivery, { now, lease });
    return found;
  });
  if (!target) return id;
  const claimed = { ...target, id, channel_id: channel.id, notification, attempts: 1 };
  await attempt(deps, tenantId, claimed, { isLast: true });
  return id;
}

async function attempt(
  deps: DeliveryDeps,
  tenantId: string,
  claimed: store.DueNotification,
  { isLast = false } = {},
): Promise<DeliveryOutcome> {
  let result: Sent = { status: 0, failure: null, isFinal: false };
  try {
    result = await sendMessage(deps, openMessage(deps, tenantId, claimed));
  } catch (error) {
    result = { status: 0, failure: messageOf(error), isFinal: false };
  }
  const now = deps.clock.now();
  const { failure } = result;
  const planned = outcomeOf(claimed.attempts, result.status || null, failure, now);
  const outcome =
    failure !== null && (result.isFinal || isLast)
      ? { ...planned, status: "failed" as const, nextAttemptAt: null }
      : planned;
  sent.inc({
    kind: claimed.kind,
    outcome: outcome.status === "pending" ? "retry" : outcome.status,
  });
  if (failure !== null) {
    const { channel_id: channelId, attempts } = claimed;
    deps.logger.warn({ tenantId, channelId, attempts, failure }, "an alert was not delivered");
  }
  await deps.db.tenant(tenantId, (tx) =>
    recordOutcome(tx, TABLE, tenantId, claimed.id, outcome, new Date(now)),
  );
  return outcome;
}

function openMessage(
  { sealer }: DeliveryDeps,
  tenantId: string,
  { id, channel_id, kind, settings, secret_sealed, notification }: store.DueNotification,
): Message {
  const context = channelContext(tenantId, channel_id);
  const secret = secret_sealed ? sealer.open(secret_sealed, context).toString() : "";
  return { id, kind, settings, secret, notification };
}
