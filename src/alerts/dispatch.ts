import type { Database, Tx } from "../db/index.ts";
import { confinementIn } from "../kernel/confinement.ts";
import { type Clock, timeOrderedId } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { labelsOf } from "./alert-labels.ts";
import type { AlertRow } from "./alert-store.ts";
import { type FlushPlan, planFlush } from "./flush.ts";
import * as groups from "./group-store.ts";
import { appendHistory } from "./history-store.ts";
import { notificationOf, sorted } from "./notification.ts";
import { enqueueNotification } from "./notification-store.ts";
import { policyOf } from "./policies.ts";
import {
  groupLabels,
  type Muting,
  mutingOf,
  type Policy,
  routesFor,
  type Silence,
} from "./routing.ts";
import { livingSilences } from "./silences.ts";

const dropped = counter(
  "vautn_alert_notifications_unheard_total",
  "Notifications that no channel took: none is named, enabled or has room",
);

const BATCH = 500;
const GROUPS_PER_FLUSH = 50;
/** Alerts of one group that are looked at; the rest waits for its turn. */
const MAX_MEMBERS = 2_000;
/** Alerts that may inhibit others; the most severe first. */
const MAX_CAUSES = 2_000;
/** Messages that may wait for one channel. */
const MAX_PENDING = 1_000;

export interface DispatchDeps {
  db: Database;
  clock: Clock;
}

/** Puts what has changed into its groups; returns how many alerts that were. */
export function dispatchAlerts({ db, clock }: DispatchDeps, tenantId: string): Promise<number> {
  return db.tenant(tenantId, async (tx) => {
    const rows = await groups.takeUndispatched(tx, tenantId, BATCH);
    if (rows.length === 0) return 0;
    const policy = await policyOf(tx, tenantId);
    const now = new Date(clock.now());
    for (const row of rows) {
      if (row.state === "open") await join(tx, tenantId, policy, row, now);
      else await groups.hurryGroups(tx, tenantId, row.id, now);
    }
    return rows.length;
  });
}

async function join(
  tx: Tx,
  tenantId: string,
  policy: Policy,
  row: AlertRow,
  now: Date,
): Promise<void> {
  const labels = labelsOf(row);
  for (const route of routesFor(policy, labels)) {
    const own = sorted(groupLabels(route, labels));
    const key = JSON.stringify(own);
    const group = { id: timeOrderedId(now.getTime()), route: route.name, key, labels: own };
    await groups.joinGroup(tx, tenantId, group, {
      ...{ alertId: row.id, now },
      ...{ waitMs: route.groupWaitMs, intervalMs: route.groupIntervalMs },
    });
  }
}

/**
 * Lets groups speak that are due. What is said is queued with the memory of having said it, in one
 * transaction: killed before, it is said anew; killed after, it is not said twice.
 */
export function flushGroups({ db, clock }: DispatchDeps, tenantId: string): Promise<number> {
  return db.tenant(tenantId, async (tx) => {
    const now = new Date(clock.now());
    const due = await groups.lockDueGroups(tx, tenantId, now, GROUPS_PER_FLUSH);
    if (due.length === 0) return 0;
    const [policy, silences, active] = [
      await policyOf(tx, tenantId),
      await livingSilences(tx, tenantId, now),
      await activeAlerts(tx, tenantId),
    ];
    const context = { policy, silences, active, nowMs: now.getTime() };
    for (const group of due) await flush(tx, tenantId, group, context);
    return due.length;
  });
}

interface Context {
  policy: Policy;
  silences: readonly Silence[];
  active: readonly { id: string; labels: Readonly<Record<string, string>> }[];
  nowMs: number;
}

async function flush(
  tx: Tx,
  tenantId: string,
  group: groups.GroupRow,
  context: Context,
): Promise<void> {
  const { policy, nowMs } = context;
  const now = new Date(nowMs);
  const route = policy.routes.find(({ name }) => name === group.route) ?? policy.fallback;
  const rows = await groups.membersOf(tx, tenantId, group.id, MAX_MEMBERS);
  const members = rows.map((row) => ({
    id: row.id,
    state: row.state,
    openedAt: row.opened_at.getTime(),
    isMuted: mutingOf({ id: row.id, labels: labelsOf(row) }, context) !== undefined,
  }));
  const state = {
    createdAt: group.created_at.getTime(),
    notifiedAt: group.notified_at?.getTime() ?? null,
    notified: group.notified,
    escalated: group.escalated,
    heardSteps: group.heard_steps,
  };
  const plan = planFlush(route, state, members, nowMs);
  await say(tx, tenantId, group, plan, new Map(rows.map((row) => [row.id, row])), now);
  await groups.leaveGroup(tx, tenantId, group.id, plan.leave);
  if (plan.flushAt === null && rows.length < MAX_MEMBERS) {
    await groups.deleteGroup(tx, tenantId, group.id);
    return;
  }
  await groups.settleGroup(tx, tenantId, group.id, {
    notified: plan.next.notified,
    notifiedAt: plan.next.notifiedAt === null ? null : new Date(plan.next.notifiedAt),
    escalated: plan.next.escalated,
    heardSteps: plan.next.heardSteps,
    flushedAt: now,
    flushAt: new Date(plan.flushAt ?? nowMs),
  });
}

async function say(
  tx: Tx,
  tenantId: string,
  group: groups.GroupRow,
  plan: FlushPlan,
  rows: ReadonlyMap<string, AlertRow>,
  now: Date,
): Promise<void> {
  for (const saying of plan.sayings) {
    const notification = notificationOf(tenantId, group, saying, rows);
    const { channels, escalation } = saying;
    const queued = await enqueueNotification(
      tx,
      tenantId,
      { channels, notification },
      now,
      MAX_PENDING,
    );
    if (queued === 0) dropped.inc();
    await appendHistory(tx, tenantId, [...saying.firing, ...saying.resolved], {
      at: now,
      what: escalation === null ? "notified" : "escalated",
      who: null,
      details: { route: group.route, channels, queued, status: notification.status },
    });
  }
}

async function activeAlerts(tx: Tx, tenantId: string) {
  const rows = await groups.listActive(tx, tenantId, MAX_CAUSES);
  return rows.map((row) => ({ id: row.id, labels: labelsOf(row) }));
}

/** Why nobody is told of these alerts now; those that are told of are absent. */
export async function mutingsOf(
  tx: Tx,
  tenantId: string,
  rows: readonly AlertRow[],
  now: Date,
): Promise<Map<string, Muting>> {
  const mutings = new Map<string, Muting>();
  if (rows.every(({ state }) => state === "resolved")) return mutings;
  // What others silence is nothing that somebody confined to some devices may know.
  if (confinementIn(tenantId)) return mutings;
  const policy = await policyOf(tx, tenantId);
  const silences = await livingSilences(tx, tenantId, now);
  const active = policy.inhibitions.length > 0 ? await activeAlerts(tx, tenantId) : [];
  for (const row of rows) {
    if (row.state === "resolved") continue;
    const alert = { id: row.id, labels: labelsOf(row) };
    const muting = mutingOf(alert, { policy, silences, active, nowMs: now.getTime() });
    if (muting) mutings.set(row.id, muting);
  }
  return mutings;
}
