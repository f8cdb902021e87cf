import { Webhook } from "standardwebhooks";
import type { Database } from "../db/index.ts";
import { parseWebhookUrl, postWebhook, type Resolve } from "../kernel/guarded-request.ts";
import { type Clock, messageOf } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter } from "../kernel/metrics.ts";
import type { PrivateAddresses } from "../kernel/public-address.ts";
import type { Sealer } from "../kernel/sealing.ts";
import { DUE_AT_ONCE, DUE_PER_RECEIVER, deliverInTurn, LEASE_MS } from "./deliver-in-turn.ts";
import { type DeliveryOutcome, pruneDeliveries, recordOutcome } from "./delivery-log.ts";
import * as store from "./webhook-store.ts";
import { secretContext } from "./webhooks.ts";

const deliveries = counter("vautn_webhook_deliveries_total", "Webhook attempts by outcome", [
  "outcome",
]);

const TABLE = "webhook_deliveries";
const MAX_ATTEMPTS = 12;
const FIRST_RETRY_MS = 5_000;
const MAX_RETRY_MS = 6 * 3_600_000;
const KEEP_MS = 7 * 24 * 3_600_000;
const PRUNE_BATCH = 500;

export interface DeliveryDeps {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  logger: Logger;
  allowPrivateAddresses: PrivateAddresses;
  resolve?: Resolve | undefined;
}

/**
 * Sends what is due for a tenant, each delivery at least once; `webhook-id` tells repeats apart.
 * Returns how many were due.
 */
export async function deliverDue(deps: DeliveryDeps, tenantId: string): Promise<number> {
  const at = deps.clock.now();
  const lease = new Date(at + LEASE_MS);
  const due = await deps.db.tenant(tenantId, async (tx) => {
    await pruneDeliveries(tx, TABLE, tenantId, new Date(at - KEEP_MS), PRUNE_BATCH);
    const most = { limit: DUE_AT_ONCE, perReceiver: DUE_PER_RECEIVER };
    return store.claimDueDeliveries(tx, tenantId, { now: new Date(at), lease, ...most });
  });
  await deliverInTurn(deps, tenantId, {
    ...{ table: TABLE, claimed: { at, lease } },
    receivers: Map.groupBy(due, ({ webhook_id }) => webhook_id).values(),
    attempt: (delivery) => attempt(deps, tenantId, delivery),
  });
  return due.length;
}

async function attempt(
  deps: DeliveryDeps,
  tenantId: string,
  delivery: store.DueDelivery,
): Promise<DeliveryOutcome> {
  let status: number | null = null;
  let failure: string | null = null;
  try {
    status = await send(deps, tenantId, delivery);
    if (status < 200 || status > 299) failure = `the receiver answered ${status}`;
  } catch (error) {
    failure = messageOf(error);
  }
  const now = deps.clock.now();
  const outcome = outcomeOf(delivery.attempts, status, failure, now);
  deliveries.inc({ outcome: outcome.status === "pending" ? "retry" : outcome.status });
  if (failure !== null) {
    deps.logger.warn(
      { tenantId, webhookId: delivery.webhook_id, attempt: delivery.attempts, failure },
      "a webhook was not delivered",
    );
  }
  await deps.db.tenant(tenantId, async (tx) => {
    await recordOutcome(tx, TABLE, tenantId, delivery, outcome, new Date(now));
    // Standard Webhooks: 410 means that the receiver wants no more of it.
    if (status === 410) await store.disableWebhook(tx, tenantId, delivery.webhook_id);
  });
  return outcome;
}

async function send(
  deps: DeliveryDeps,
  tenantId: string,
  delivery: store.DueDelivery,
): Promise<number> {
  const url = parseWebhookUrl(delivery.url, deps.allowPrivateAddresses);
  const context = secretContext(tenantId, delivery.webhook_id);
  const secret = deps.sealer.open(delivery.secret_sealed, context).toString();
  const body = JSON.stringify(delivery.event);
  const at = new Date(deps.clock.now());
  const { id } = delivery.event;
  return postWebhook(
    url,
    body,
    {
      "content-type": "application/cloudevents+json; charset=utf-8",
      "user-agent": "vautn",
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
      "webhook-signature": new Webhook(secret).sign(id, at, body),
    },
    deps,
  );
}

/** What becomes of a delivery after an attempt: pure, so that the whole schedule can be tested. */
export function outcomeOf(
  attempts: number,
  status: number | null,
  failure: string | null,
  nowMs: number,
): DeliveryOutcome {
  const base = { lastStatus: status, lastError: failure };
  if (failure === null) return { ...base, status: "delivered", nextAttemptAt: null };
  if (attempts >= MAX_ATTEMPTS || status === 410) {
    return { ...base, status: "failed", nextAttemptAt: null };
  }
  const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 4 ** (attempts - 1));
  return { ...base, status: "pending", nextAttemptAt: new Date(nowMs + delayMs) };
}
