import { randomBytes } from "node:crypto";
import type { Database } from "../db/index.ts";
import { parseWebhookUrl } from "../kernel/guarded-request.ts";
import { AppError, type Clock, isUuid, LIMITS, timeOrderedId } from "../kernel/index.ts";
import type { PrivateAddresses } from "../kernel/public-address.ts";
import type { Sealer } from "../kernel/sealing.ts";
import type { Actor } from "../tenancy/index.ts";
import { EVENT_TYPES } from "./events.ts";
import * as store from "./webhook-store.ts";

const MAX_WEBHOOKS = 20;
const SECRET_BYTES = 32;

export interface WebhookView {
  id: string;
  url: string;
  eventTypes: string[];
  enabled: boolean;
  createdAt: Date;
  createdBy: string;
}

export interface DeliveryView {
  id: string;
  eventType: string;
  eventId: string;
  status: "pending" | "delivered" | "failed";
  attempts: number;
  nextAttemptAt: Date | null;
  lastStatus: number | null;
  lastError: string | null;
  createdAt: Date;
  deliveredAt: Date | null;
}

export interface Webhooks {
  /** The secret is told this once (Standard Webhooks form, `whsec_…`). */
  create(
    tenantId: string,
    webhook: { url: string; eventTypes?: string[] | undefined },
    actor: Actor,
  ): Promise<WebhookView & { secret: string }>;
  list(tenantId: string): Promise<WebhookView[]>;
  delete(tenantId: string, id: string): Promise<void>;
  /** What was sent or is to be sent to a webhook, newest first. */
  deliveries(tenantId: string, webhookId: string, limit?: number): Promise<DeliveryView[]>;
}

export interface WebhooksDeps {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  allowPrivateAddresses: PrivateAddresses;
}

export function createWebhooks(deps: WebhooksDeps): Webhooks {
  const { db, clock, sealer } = deps;
  return {
    async create(tenantId, { url, eventTypes = ["*"] }, actor) {
      const parsed = parseWebhookUrl(url, deps.allowPrivateAddresses);
      assertEventTypes(eventTypes);
      const secret = randomBytes(SECRET_BYTES).toString("base64");
      const id = timeOrderedId(clock.now());
      const row: store.WebhookRow = {
        id,
        url: parsed.href,
        event_types: eventTypes,
        enabled: true,
        created_at: new Date(clock.now()),
        created_by: actor.name,
      };
      await db.tenant(tenantId, async (tx) => {
        if ((await store.listWebhooks(tx, tenantId)).length >= MAX_WEBHOOKS) {
          throw new AppError("quota-exceeded", `a tenant has at most ${MAX_WEBHOOKS} webhooks`);
        }
        const secret_sealed = sealer.seal(secret, secretContext(tenantId, id));
        await store.insertWebhook(tx, tenantId, { ...row, secret_sealed });
      });
      return { ...viewOf(row), secret: `whsec_${secret}` };
    },

    async list(tenantId) {
      const rows = await db.tenant(tenantId, (tx) => store.listWebhooks(tx, tenantId));
      return rows.map(viewOf);
    },

    async delete(tenantId, id) {
      const deleted =
        isUuid(id) && (await db.tenant(tenantId, (tx) => store.deleteWebhook(tx, tenantId, id)));
      if (!deleted) throw new AppError("not-found", "there is no such webhook");
    },

    async deliveries(tenantId, webhookId, limit = 50) {
      if (!isUuid(webhookId)) throw new AppError("not-found", "there is no such webhook");
      const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
      const rows = await db.tenant(tenantId, (tx) =>
        store.listDeliveries(tx, tenantId, webhookId, size),
      );
      return rows.map((row) => ({
        id: row.id,
        eventType: row.event.type,
        eventId: row.event.id,
        status: row.status,
        attempts: row.attempts,
        nextAttemptAt: row.next_attempt_at,
        lastStatus: row.last_status,
        lastError: row.last_error,
        createdAt: row.created_at,
        deliveredAt: row.delivered_at,
      }));
    },
  };
}

/** Binds a sealed secret to its webhook. */
export function secretContext(tenantId: string, webhookId: string): string {
  return `webhook:${tenantId}:${webhookId}`;
}

function assertEventTypes(eventTypes: readonly string[]): void {
  const known: readonly string[] = ["*", ...EVENT_TYPES];
  const unknown = eventTypes.find((type) => !known.includes(type));
  if (eventTypes.length === 0 || eventTypes.length > known.length || unknown !== undefined) {
    const message = `${unknown ?? "no type"} is not an event type; known are ${known.join(", ")}`;
    throw new AppError("invalid-request", message, {
      path: "/eventTypes",
      known,
    });
  }
}

function viewOf(row: store.WebhookRow): WebhookView {
  return {
    id: row.id,
    url: row.url,
    eventTypes: row.event_types,
    enabled: row.enabled,
    createdAt: row.created_at,
    createdBy: row.created_by,
  };
}
