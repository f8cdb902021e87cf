import { type Bus, subjects } from "../bus/index.ts";
import type { Database, Tx } from "../db/index.ts";
import type { Resolve } from "../kernel/guarded-request.ts";
import { AppError, type Clock, isUuid, LIMITS, timeOrderedId } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import type { MailServer } from "../kernel/mail-server.ts";
import { counter } from "../kernel/metrics.ts";
import type { PrivateAddresses } from "../kernel/public-address.ts";
import type { Sealer } from "../kernel/sealing.ts";
import type { Actor } from "../tenancy/index.ts";
import { labelsOf } from "./alert-labels.ts";
import * as store from "./alert-store.ts";
import { type Channels, createChannels } from "./channels.ts";
import { deliverDue } from "./delivery.ts";
import { dispatchAlerts, flushGroups, mutingsOf } from "./dispatch.ts";
import { cloudEvent, type PlatformEvent } from "./events.ts";
import { type AlertHistoryRow, appendHistory, readHistory } from "./history-store.ts";
import { notifyDue } from "./notify.ts";
import { createPolicies, type Policies } from "./policies.ts";
import type { Muting } from "./routing.ts";
import { createSilences, type Silences } from "./silences.ts";
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
  resolvedBy: string | null;
  labels: Readonly<Record<string, string>>;
  annotations: Readonly<Record<string, string>>;
  ruleId: string | null;
}

/** An alert with why nobody is told of it, where that is so. */
export type ShownAlert = AlertView & { mutedBy: Muting | null };

export interface AlertListOptions extends Omit<store.AlertFilter, "before"> {
  cursor?: string | undefined;
  limit?: number | undefined;
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
  /** Says how an open alert stands by now, which is no further occurrence. */
  refresh(
    tenantId: string,
    key: string,
    now: { title: string; details: Record<string, unknown> },
    tx: Tx,
  ): Promise<void>;
  acknowledge(tenantId: string, id: string, actor: Actor): Promise<AlertView>;
  /** By a person, who knows better: a rule whose condition holds stays silent until it has ended. */
  resolveByHand(tenantId: string, id: string, actor: Actor): Promise<AlertView>;
  get(tenantId: string, id: string): Promise<ShownAlert>;
  /** What happened to it, oldest first. */
  history(tenantId: string, id: string): Promise<AlertHistoryRow[]>;
  /** Newest first. */
  list(
    tenantId: string,
    options?: AlertListOptions,
  ): Promise<{ items: ShownAlert[]; nextCursor: string | null }>;
  /** Alerts of some kinds that are not resolved, a page in the order of their ids. */
  open(
    tenantId: string,
    kinds: readonly string[],
    options: { afterId: string | undefined; limit: number },
  ): Promise<store.OpenAlertRow[]>;
  /** Alerts that are not resolved and that people are told of; among very many, muted ones too. */
  countOpen(tenantId: string): Promise<number>;
  /** Queues an event for the webhooks that want its type; durable with the transaction. */
  emit(tenantId: string, event: PlatformEvent, tx?: Tx): Promise<void>;
  webhooks: Webhooks;
  channels: Channels;
  silences: Silences;
  policy: Policies;
  /** Sends what is due to webhooks; returns the number of attempts. */
  deliverDue(tenantId: string, now?: number): Promise<number>;
  /** Puts alerts that have changed into their groups. */
  dispatch(tenantId: string): Promise<number>;
  /** Lets groups speak that are due. */
  flush(tenantId: string): Promise<number>;
  /** Sends what is due to channels; returns the number of attempts. */
  notifyDue(tenantId: string): Promise<number>;
  /** Deletes alerts that were resolved long ago. */
  forgetOld(tenantId: string): Promise<number>;
}

/** So many open alerts are looked through for muted ones when they are counted. */
const MAX_JUDGED = 1_000;

export interface AlertsDeps {
  db: Database;
  clock: Clock;
  bus: Bus;
  sealer: Sealer;
  logger: Logger;
  /** Lets webhooks reach private and loopback addresses: on-premises receivers, tests. */
  allowPrivateAddresses?: PrivateAddresses;
  /** Name resolution, for tests. */
  resolve?: Resolve;
  /** The platform's own, for channels that name none. */
  mailServer?: MailServer | undefined;
  /** Where people reach the console. */
  consoleUrl?: string | undefined;
}

/** For so long what was resolved can be looked up. */
export const ALERTS_KEPT_MS = 180 * 86_400_000;
const FORGET_BATCH = 1_000;

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
          await wrote(inner, tenantId, id, "opened", null, { title, severity });
        }
        return viewOf(row);
      });
      return publish(tenantId, view);
    },

    async resolve(tenantId, key, tx) {
      const view = await within(tenantId, tx, async (inner) => {
        const now = new Date(clock.now());
        const row = await store.resolveAlert(inner, tenantId, { key }, { by: null, now });
        if (!row) return undefined;
        await tell(tenantId, row, "vautn.alert.resolved", inner);
        await wrote(inner, tenantId, row.id, "resolved", null);
        return viewOf(row);
      });
      return view && publish(tenantId, view);
    },

    refresh: (tenantId, key, standing, tx) =>
      store.refreshAlert(tx, tenantId, key, standing, new Date(clock.now())),

    async acknowledge(tenantId, id, actor) {
      const view = await db.tenant(tenantId, async (tx) => {
        const found = await find(tx, tenantId, id);
        const now = new Date(clock.now());
        const row = await store.acknowledgeAlert(tx, tenantId, id, actor.name, now);
        // Acknowledged or resolved before: there is nothing left to do.
        if (!row) return viewOf(found);
        await tell(tenantId, row, "vautn.alert.acknowledged", tx);
        await wrote(tx, tenantId, id, "acknowledged", actor.name);
        return viewOf(row);
      });
      return publish(tenantId, view);
    },

    async resolveByHand(tenantId, id, actor) {
      const view = await db.tenant(tenantId, async (tx) => {
        const found = await find(tx, tenantId, id);
        const now = new Date(clock.now());
        const row = await store.resolveAlert(tx, tenantId, { id }, { by: actor.name, now });
        if (!row) return viewOf(found);
        await store.dismissRuleState(tx, tenantId, id);
        await tell(tenantId, row, "vautn.alert.resolved", tx);
        await wrote(tx, tenantId, id, "resolved", actor.name);
        return viewOf(row);
      });
      return publish(tenantId, view);
    },

    get: (tenantId, id) =>
      db.tenant(tenantId, async (tx) => {
        const row = await find(tx, tenantId, id);
        return (await shown(tx, tenantId, [row]))[0] as ShownAlert;
      }),

    history: (tenantId, id) =>
      db.tenant(tenantId, async (tx) => {
        await find(tx, tenantId, id);
        return readHistory(tx, tenantId, id);
      }),

    list: (tenantId, { cursor, limit = 50, ...wanted } = {}) =>
      db.tenant(tenantId, async (tx) => {
        const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
        const filter = {
          ...wanted,
          before: cursor === undefined ? undefined : parseCursor(cursor),
        };
        const rows = await store.listAlerts(tx, tenantId, filter, size + 1);
        const page = rows.slice(0, size);
        const last = page.at(-1);
        const more = rows.length > size && last;
        return {
          items: await shown(tx, tenantId, page),
          nextCursor: more ? `${last.opened_at.getTime()}_${last.id}` : null,
        };
      }),

    open: (tenantId, kinds, options) =>
      db.tenant(tenantId, (tx) => store.listOpenAlerts(tx, tenantId, kinds, options)),
    countOpen: (tenantId) =>
      db.tenant(tenantId, async (tx) => {
        const count = await store.countOpenAlerts(tx, tenantId);
        if (count === 0 || count > MAX_JUDGED) return count;
        const open = await store.listAlerts(tx, tenantId, { state: "active" }, MAX_JUDGED);
        return count - (await mutingsOf(tx, tenantId, open, new Date(clock.now()))).size;
      }),
    emit,
    webhooks: createWebhooks(deps),
    channels: createChannels(deps),
    silences: createSilences(deps),
    policy: createPolicies(deps),
    deliverDue: (tenantId) => deliverDue(deps, tenantId),
    dispatch: (tenantId) => dispatchAlerts(deps, tenantId),
    flush: (tenantId) => flushGroups(deps, tenantId),
    notifyDue: (tenantId) => notifyDue(deps, tenantId),
    forgetOld: (tenantId) =>
      db.tenant(tenantId, (tx) =>
        store.deleteOldAlerts(tx, tenantId, new Date(clock.now() - ALERTS_KEPT_MS), FORGET_BATCH),
      ),
  };

  async function find(tx: Tx, tenantId: string, id: string): Promise<store.AlertRow> {
    const row = isUuid(id) ? await store.findAlert(tx, tenantId, id) : undefined;
    if (!row) throw new AppError("not-found", "there is no such alert");
    return row;
  }

  async function shown(tx: Tx, tenantId: string, rows: store.AlertRow[]): Promise<ShownAlert[]> {
    const mutings = await mutingsOf(tx, tenantId, rows, new Date(clock.now()));
    return rows.map((row) => ({ ...viewOf(row), mutedBy: mutings.get(row.id) ?? null }));
  }

  function wrote(
    tx: Tx,
    tenantId: string,
    id: string,
    what: AlertHistoryRow["what"],
    who: string | null,
    details: Record<string, unknown> = {},
  ): Promise<void> {
    return appendHistory(tx, tenantId, [id], { at: new Date(clock.now()), what, who, details });
  }
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
    resolvedBy: row.resolved_by,
    labels: labelsOf(row),
    annotations: row.annotations,
    ruleId: row.rule_id,
  };
}

function parseCursor(cursor: string): { openedAt: Date; id: string } {
  const [time = "", id = ""] = cursor.split("_");
  if (!/^\d{1,15}$/.test(time) || !isUuid(id)) {
    throw new AppError("invalid-cursor", "the cursor was not made by this list");
  }
  return { openedAt: new Date(Number(time)), id };
}
