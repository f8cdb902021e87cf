import type { Database } from "../db/index.ts";
import { type Clock, messageOf, timeOrderedId } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter } from "../kernel/metrics.ts";
import type { Sealer } from "../kernel/sealing.ts";
import { channelContext } from "./channel-settings.ts";
import { DUE_AT_ONCE, DUE_PER_RECEIVER, deliverInTurn, LEASE_MS } from "./deliver-in-turn.ts";
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
 * attempt. Returns how many were due.
 */
export async function notifyDue(deps: DeliveryDeps, tenantId: string): Promise<number> {
  const at = deps.clock.now();
  const lease = new Date(at + LEASE_MS);
  const due = await deps.db.tenant(tenantId, async (tx) => {
    await pruneDeliveries(tx, TABLE, tenantId, new Date(at - KEEP_MS), PRUNE_BATCH);
    const most = { limit: DUE_AT_ONCE, perReceiver: DUE_PER_RECEIVER };
    return store.claimDueNotifications(tx, tenantId, { now: new Date(at), lease, ...most });
  });
  await deliverInTurn(deps, tenantId, {
    ...{ table: TABLE, claimed: { at, lease } },
    receivers: Map.groupBy(due, ({ channel_id }) => channel_id).values(),
    attempt: (message) => attempt(deps, tenantId, message),
  });
  return due.length;
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
  const claimed = { ...target, id, channel_id: channel.id, notification, attempts: 1, lease };
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
    recordOutcome(tx, TABLE, tenantId, claimed, outcome, new Date(now)),
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
