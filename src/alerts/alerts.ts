import { type Bus, subjects } from "../bus/index.ts";
import type { Database, Tx } from "../db/index.ts";
import type { Resolve } from "../kernel/guarded-request.ts";
import { AppError, type Clock, isUuid, LIMITS, timeOrderedId } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter } from "../kernel/metrics.ts";
import type { Sealer } from "../kernel/sealing.ts";
import type { Actor } from "../tenancy/index.ts";
import * as store from "./alert-store.ts";
import { deliverDue } from "./delivery.ts";
import { cloudEvent, type PlatformEvent } from "./events.ts";
import { enqueueDeliveries } from "./webhook-store.ts";
import { createWebhooks, type Webhooks } from "./webhooks.ts";

const raised = counter("vautn_alerts_raised_total", "Alerts opened", ["kind", "severity"]);

/** Deliveries that may wait for one webhook; beyond it events are not queued for it. */
const MAX_PENDING = 10_000;

export interface AlertView {
  id: string;
  kind: string;
  severity: "info" | "warning" | "critical";
  title: string;
  subjectKind: string;
  subjectId: string;
  state: "open" | "acknowledged" | "resolved";
  details: Record<string, unknown>;
  occurrences: number;
  openedAt: Date;
  lastSeenAt: Date;
  acknowledgedAt: Date | null;
  acknowledgedBy: string | null;
  resolvedAt: Date | null;
}

/** What is wrong in a tenant's fleet, and who is told. */
export interface Alerts {
  /**
   * Opens an alert, or adds an occurrence to the open one with the same key. Given a transaction,
   * it becomes visible with it.
   */
  raise(tenantId: string, report: store.AlertReport, tx?: Tx): Promise<AlertView>;
  /** Ends the alert that is open under `key`, if there is one. */
  resolve(tenantId: string, key: string, tx?: Tx): Promise<AlertView | undefined>;
  acknowledge(tenantId: string, id: string, actor: Actor): Promise<AlertView>;
  get(tenantId: string, id: string): Promise<AlertView>;
  /** Newest first. */
  list(
    tenantId: string,
    options?: {
      state?: "open" | "acknowledged" | "resolved" | undefined;
      cursor?: string | undefined;
      limit?: number | undefined;
    },
  ): Promise<{ items: AlertView[]; nextCursor: string | null }>;
  /** Alerts of some kinds that are not resolved, a page in the order of their ids. */
  open(
    tenantId: string,
    kinds: readonly string[],
    options: { afterId: string | undefined; limit: number },
  ): Promise<store.OpenAlertRow[]>;
  /** Alerts that are not resolved. */
  countOpen(tenantId: string): Promise<number>;
  /** Queues an event for the webhooks that want its type; durable with the transaction. */
  emit(tenantId: string, event: PlatformEvent, tx?: Tx): Promise<void>;
  webhooks: Webhooks;
  /** Sends what is due; returns the number of attempts. */
  deliverDue(tenantId: string, now?: number): Promise<number>;
}

export interface AlertsDeps {
  db: Database;
  clock: Clock;
  bus: Bus;
  sealer: Sealer;
  logger: Logger;
  /** Lets webhooks reach private and loopback addresses: on-premises receivers, tests. */
  allowPrivateAddresses?: boolean;
  /** Name resolution, for tests. */
  resolve?: Resolve;
}

export function createAlerts(given: AlertsDeps): Alerts {
  const deps = { ...given, allowPrivateAddresses: given.allowPrivateAddresses ?? false };
  const { db, clock, bus, logger } = deps;
  const within = <T>(tenantId: string, tx: Tx | undefined, work: (tx: Tx) => Promise<T>) =>
    tx ? work(tx) : db.tenant(tenantId, work);

  async function emit(tenantId: string, event: PlatformEvent, tx?: Tx): Promise<void> {
    const now = clock.now();
    const body = cloudEvent(tenantId, event, now);
    await within(tenantId, tx, (inner) =>
      enqueueDeliveries(inner, tenantId, body, new Date(now), MAX_PENDING),
    );
  }

  async function tell(
    tenantId: string,
    row: store.AlertRow,
    type: "vautn.alert.raised" | "vautn.alert.acknowledged" | "vautn.alert.resolved",
    tx: Tx,
  ): Promise<void> {
    await emit(tenantId, { type, subject: `alerts/${row.id}`, data: { ...viewOf(row) } }, tx);
  }

  function publish(tenantId: string, view: AlertView): AlertView {
    bus.publish(subjects.alert(tenantId), { alertId: view.id, state: view.state });
    return view;
  }

  return {
    async raise(tenantId, report, tx) {
      const view = await within(tenantId, tx, async (inner) => {
        const now = clock.now();
        const id = timeOrderedId(now);
        const row = await store.raiseAlert(inner, tenantId, id, report, new Date(now));
        if (row.id === id) {
          raised.inc({ kind: report.kind, severity: report.severity });
          const { severity, kind, title, subjectId } = report;
          logger.warn({ tenantId, alertId: id, severity, kind, subjectId }, title);
          await tell(tenantId, row, "vautn.alert.raised", inner);
        }
        return viewOf(row);
      });
      return publish(tenantId, view);
    },

    async resolve(tenantId, key, tx) {
      const view = await within(tenantId, tx, async (inner) => {
        const row = await store.resolveAlert(inner, tenantId, key, new Date(clock.now()));
        if (row) await tell(tenantId, row, "vautn.alert.resolved", inner);
        return row && viewOf(row);
      });
      return view && publish(tenantId, view);
    },

    async acknowledge(tenantId, id, actor) {
      const view = await db.tenant(tenantId, async (tx) => {
        const found = isUuid(id) ? await store.findAlert(tx, tenantId, id) : undefined;
        if (!found) throw new AppError("not-found", "there is no such alert");
        const now = new Date(clock.now());
        const row = await store.acknowledgeAlert(tx, tenantId, id, actor.name, now);
        // Acknowledged or resolved before: there is nothing left to do.
        if (row) await tell(tenantId, row, "vautn.alert.acknowledged", tx);
        return viewOf(row ?? found);
      });
      return publish(tenantId, view);
    },

    async get(tenantId, id) {
      const row = isUuid(id)
        ? await db.tenant(tenantId, (tx) => store.findAlert(tx, tenantId, id))
        : undefined;
      if (!row) throw new AppError("not-found", "there is no such alert");
      return viewOf(row);
    },

    async list(tenantId, { state, cursor, limit = 50 } = {}) {
      const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
      const filter = { state, before: cursor === undefined ? undefined : parseCursor(cursor) };
      const rows = await db.tenant(tenantId, (tx) =>
        store.listAlerts(tx, tenantId, filter, size + 1),
      );
      const page = rows.slice(0, size);
      const last = page.at(-1);
      const more = rows.length > size && last;
      return {
        items: page.map(viewOf),
        nextCursor: more ? `${last.opened_at.getTime()}_${last.id}` : null,
      };
    },

    open: (tenantId, kinds, options) =>
      db.tenant(tenantId, (tx) => store.listOpenAlerts(tx, tenantId, kinds, options)),
    countOpen: (tenantId) => db.tenant(tenantId, (tx) => store.countOpenAlerts(tx, tenantId)),
    emit,
    webhooks: createWebhooks(deps),
    deliverDue: (tenantId) => deliverDue(deps, tenantId),
  };
}

function viewOf(row: store.AlertRow): AlertView {
  return {
    id: row.id,
    kind: row.kind,
    severity: row.severity,
    title: row.title,
    subjectKind: row.subject_kind,
    subjectId: row.subject_id,
    state: row.state,
    details: row.details,
    occurrences: row.occurrences,
    openedAt: row.opened_at,
    lastSeenAt: row.last_seen_at,
    acknowledgedAt: row.acknowledged_at,
    acknowledgedBy: row.acknowledged_by,
    resolvedAt: row.resolved_at,
  };
}

function parseCursor(cursor: string): { openedAt: Date; id: string } {
  const [time = "", id = ""] = cursor.split("_");
  if (!/^\d{1,15}$/.test(time) || !isUuid(id)) {
    throw new AppError("invalid-cursor", "the cursor was not made by this list");
  }
  return { openedAt: new Date(Number(time)), id };
}
