import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { type AlertRow, COLUMNS } from "./alert-store.ts";
import type { Told } from "./flush.ts";

/** Takes alerts that have changed; another worker's are passed over. */
export async function takeUndispatched(
  tx: Tx,
  tenantId: string,
  limit: number,
): Promise<AlertRow[]> {
  const rows = await tx
    .updateTable("alerts")
    .set({ undispatched: false })
    .where("tenant_id", "=", tenantId)
    .where("id", "in", (query) =>
      query
        .selectFrom("alerts")
        .select("id")
        .where("tenant_id", "=", tenantId)
        .where("undispatched", "=", true)
        .orderBy("id")
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .returning(COLUMNS)
    .execute();
  return rows;
}

/** Puts an alert into its group, which begins with it or is looked at sooner than it would be. */
export async function joinGroup(
  tx: Tx,
  tenantId: string,
  group: { id: string; route: string; key: string; labels: Record<string, string> },
  {
    alertId,
    now,
    waitMs,
    intervalMs,
  }: { alertId: string; now: Date; waitMs: number; intervalMs: number },
): Promise<void> {
  const first = new Date(now.getTime() + waitMs);
  await sql`
    with entered as (
      insert into alert_groups (tenant_id, id, route, group_key, labels, created_at, flush_at)
      values (${tenantId}, ${group.id}, ${group.route}, ${group.key},
              ${JSON.stringify(group.labels)}::jsonb, ${now}, ${first})
      on conflict (tenant_id, route, group_key) do update set flush_at = least(
        alert_groups.flush_at,
        -- One that has spoken is heard again after the interval, one that waits at its first time.
        case when alert_groups.flushed_at is null then ${first}::timestamptz
             else greatest(${now}::timestamptz, alert_groups.flushed_at
               + make_interval(secs => ${intervalMs / 1_000}::double precision)) end)
      returning id)
    insert into alert_group_members (tenant_id, group_id, alert_id)
    select ${tenantId}, id, ${alertId}::uuid from entered on conflict do nothing`.execute(tx);
}

/** Groups that an alert stands in are looked at soon: it was acknowledged or has ended. */
export async function hurryGroups(
  tx: Tx,
  tenantId: string,
  alertId: string,
  now: Date,
): Promise<void> {
  await sql`
    update alert_groups g set flush_at = least(g.flush_at, ${now})
    from alert_group_members m
    where g.tenant_id = ${tenantId} and m.tenant_id = g.tenant_id and m.group_id = g.id
      and m.alert_id = ${alertId}::uuid and g.flushed_at is not null`.execute(tx);
}

export interface GroupRow {
  id: string;
  route: string;
  labels: Record<string, string>;
  created_at: Date;
  notified_at: Date | null;
  notified: Record<string, Told>;
  escalated: number;
  heard_steps: number;
}

/** Groups that are due, locked until the transaction ends; another worker's are passed over. */
export async function lockDueGroups(
  tx: Tx,
  tenantId: string,
  now: Date,
  limit: number,
): Promise<GroupRow[]> {
  const rows = await tx
    .selectFrom("alert_groups")
    .select([
      "id",
      "route",
      "labels",
      "created_at",
      "notified_at",
      "notified",
      "escalated",
      "heard_steps",
    ])
    .where("tenant_id", "=", tenantId)
    .where("flush_at", "<=", now)
    .orderBy("flush_at")
    .limit(limit)
    .forUpdate()
    .skipLocked()
    .execute();
  return rows as GroupRow[];
}

/** Alerts of a group, the most severe and oldest first. */
export async function membersOf(
  tx: Tx,
  tenantId: string,
  groupId: string,
  limit: number,
): Promise<AlertRow[]> {
  return tx
    .selectFrom("alert_group_members as m")
    .innerJoin("alerts", (join) =>
      join.onRef("alerts.tenant_id", "=", "m.tenant_id").onRef("alerts.id", "=", "m.alert_id"),
    )
    .select(COLUMNS.map((column) => `alerts.${column}` as const))
    .where("m.tenant_id", "=", tenantId)
    .where("m.group_id", "=", groupId)
    .orderBy(sql`array_position(array['critical', 'warning', 'info'], alerts.severity)`)
    .orderBy("alerts.opened_at")
    .orderBy("alerts.id")
    .limit(limit)
    .execute() as Promise<AlertRow[]>;
}

export async function leaveGroup(
  tx: Tx,
  tenantId: string,
  groupId: string,
  alertIds: readonly string[],
): Promise<void> {
  if (alertIds.length === 0) return;
  await tx
    .deleteFrom("alert_group_members")
    .where("tenant_id", "=", tenantId)
    .where("group_id", "=", groupId)
    .where("alert_id", "in", [...alertIds])
    .execute();
}

export async function deleteGroup(tx: Tx, tenantId: string, id: string): Promise<void> {
  await tx
    .deleteFrom("alert_groups")
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

export async function settleGroup(
  tx: Tx,
  tenantId: string,
  id: string,
  next: {
    notified: Record<string, Told>;
    notifiedAt: Date | null;
    escalated: number;
    heardSteps: number;
    flushedAt: Date;
    flushAt: Date;
  },
): Promise<void> {
  await tx
    .updateTable("alert_groups")
    .set({
      notified: JSON.stringify(next.notified),
      notified_at: next.notifiedAt,
      escalated: next.escalated,
      heard_steps: next.heardSteps,
      flushed_at: next.flushedAt,
      flush_at: next.flushAt,
    })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

/** Groups of routes that are gone: their alerts are dispatched anew. */
export async function dropGroupsWithout(
  tx: Tx,
  tenantId: string,
  routes: readonly string[],
): Promise<void> {
  await sql`
    update alerts a set undispatched = true
    from alert_group_members m join alert_groups g on g.tenant_id = m.tenant_id and g.id = m.group_id
    where a.tenant_id = ${tenantId} and m.tenant_id = a.tenant_id and m.alert_id = a.id
      and not g.route = any(${[...routes]}::text[])`.execute(tx);
  await sql`
    delete from alert_groups where tenant_id = ${tenantId}
      and not route = any(${[...routes]}::text[])`.execute(tx);
}

/** Groups whose labels or settings may mean something else by now are looked at at once. */
export async function hurryAllGroups(tx: Tx, tenantId: string, now: Date): Promise<void> {
  await sql`
    update alert_groups set flush_at = least(flush_at, ${now})
    where tenant_id = ${tenantId} and flushed_at is not null`.execute(tx);
}

/** Alerts that are not resolved, as far as they may be the cause of others. */
export async function listActive(tx: Tx, tenantId: string, limit: number): Promise<AlertRow[]> {
  return tx
    .selectFrom("alerts")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("state", "<>", "resolved")
    .orderBy(sql`array_position(array['critical', 'warning', 'info'], severity)`)
    .orderBy("id")
    .limit(limit)
    .execute();
}
