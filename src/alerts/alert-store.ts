import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableJson, storableText } from "../kernel/storable.ts";

export interface AlertRow {
  id: string;
  kind: string;
  severity: "info" | "warning" | "critical";
  title: string;
  subject_kind: string;
  subject_id: string;
  state: "open" | "acknowledged" | "resolved";
  details: Record<string, unknown>;
  occurrences: number;
  opened_at: Date;
  last_seen_at: Date;
  acknowledged_at: Date | null;
  acknowledged_by: string | null;
  resolved_at: Date | null;
  resolved_by: string | null;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  rule_id: string | null;
}

export interface AlertReport {
  /** Two reports with the same key are one alert while it is open. */
  key: string;
  kind: string;
  severity: "info" | "warning" | "critical";
  title: string;
  subjectKind: string;
  subjectId: string;
  details?: Record<string, unknown>;
  /** What routes, silences and inhibitions may ask for, besides kind, severity and subject. */
  labels?: Record<string, string>;
  /** For people: `summary`, `runbook`. */
  annotations?: Record<string, string>;
  /** The rule that raises it. */
  ruleId?: string;
}

export const COLUMNS = [
  "id",
  "kind",
  "severity",
  "title",
  "subject_kind",
  "subject_id",
  "state",
  "details",
  "occurrences",
  "opened_at",
  "last_seen_at",
  "acknowledged_at",
  "acknowledged_by",
  "resolved_at",
  "resolved_by",
  "labels",
  "annotations",
  "rule_id",
] as const;

/** Opens an alert, or adds an occurrence to the one that is open; `occurrences` is 1 for a new one. */
export async function raiseAlert(
  tx: Tx,
  tenantId: string,
  id: string,
  report: AlertReport,
  now: Date,
): Promise<AlertRow> {
  const details = storableJson(report.details ?? {});
  return tx
    .insertInto("alerts")
    .values({
      tenant_id: tenantId,
      id,
      dedup_key: storableText(report.key, 512),
      kind: report.kind,
      severity: report.severity,
      title: storableText(report.title, 512),
      subject_kind: report.subjectKind,
      subject_id: report.subjectId,
      state: "open",
      details,
      labels: storableJson(report.labels ?? {}),
      annotations: storableJson(report.annotations ?? {}),
      rule_id: report.ruleId ?? null,
      undispatched: true,
      opened_at: now,
      last_seen_at: now,
    })
    .onConflict((conflict) =>
      conflict
        .columns(["tenant_id", "dedup_key"])
        .where("state", "<>", "resolved")
        .doUpdateSet({
          occurrences: sql`alerts.occurrences + 1`,
          last_seen_at: now,
          // What was near a limit has reached it.
          kind: report.kind,
          severity: report.severity,
          title: storableText(report.title, 512),
          details,
          // A severity that has changed may lead elsewhere.
          undispatched: sql`alerts.undispatched or alerts.severity <> ${report.severity}`,
        }),
    )
    .returning(COLUMNS)
    .executeTakeFirstOrThrow();
}

/** Says how an open alert stands by now; that is no further occurrence. */
export async function refreshAlert(
  tx: Tx,
  tenantId: string,
  key: string,
  { title, details }: { title: string; details: Record<string, unknown> },
  now: Date,
): Promise<void> {
  await tx
    .updateTable("alerts")
    .set({ title: storableText(title, 512), details: storableJson(details), last_seen_at: now })
    .where("tenant_id", "=", tenantId)
    .where("dedup_key", "=", key)
    .where("state", "<>", "resolved")
    .execute();
}

/** The alert that was resolved, or undefined where none was open by that key or id. */
export async function resolveAlert(
  tx: Tx,
  tenantId: string,
  which: { key: string } | { id: string },
  { by, now }: { by: string | null; now: Date },
): Promise<AlertRow | undefined> {
  return tx
    .updateTable("alerts")
    .set({ state: "resolved", resolved_at: now, resolved_by: by, undispatched: true })
    .where("tenant_id", "=", tenantId)
    .$if("key" in which, (query) => query.where("dedup_key", "=", (which as { key: string }).key))
    .$if("id" in which, (query) => query.where("id", "=", (which as { id: string }).id))
    .where("state", "<>", "resolved")
    .returning(COLUMNS)
    .executeTakeFirst();
}

export async function acknowledgeAlert(
  tx: Tx,
  tenantId: string,
  id: string,
  by: string,
  now: Date,
): Promise<AlertRow | undefined> {
  return tx
    .updateTable("alerts")
    .set({
      ...{ state: "acknowledged", acknowledged_at: now, acknowledged_by: by },
      undispatched: true,
    })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("state", "=", "open")
    .returning(COLUMNS)
    .executeTakeFirst();
}

export async function findAlert(
  tx: Tx,
  tenantId: string,
  id: string,
): Promise<AlertRow | undefined> {
  return tx
    .selectFrom("alerts")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .executeTakeFirst();
}

export interface AlertFilter {
  /** `active` is what is not resolved. */
  state?: "open" | "acknowledged" | "resolved" | "active" | undefined;
  severity?: "info" | "warning" | "critical" | undefined;
  kind?: string | undefined;
  subjectId?: string | undefined;
  ruleId?: string | undefined;
  /** Of the last alert of the page before. */
  before?: { openedAt: Date; id: string } | undefined;
}

/** Newest first. */
export async function listAlerts(
  tx: Tx,
  tenantId: string,
  filter: AlertFilter,
  limit: number,
): Promise<AlertRow[]> {
  let query = tx
    .selectFrom("alerts")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .orderBy("opened_at", "desc")
    .orderBy("id", "desc")
    .limit(limit);
  if (filter.state === "active") query = query.where("state", "<>", "resolved");
  else if (filter.state) query = query.where("state", "=", filter.state);
  if (filter.severity) query = query.where("severity", "=", filter.severity);
  if (filter.kind !== undefined) query = query.where("kind", "=", filter.kind);
  if (filter.subjectId !== undefined) query = query.where("subject_id", "=", filter.subjectId);
  if (filter.ruleId !== undefined) query = query.where("rule_id", "=", filter.ruleId);
  const { before } = filter;
  if (before) {
    query = query.where(sql<boolean>`(opened_at, id) < (${before.openedAt}, ${before.id}::uuid)`);
  }
  return query.execute();
}

export interface OpenAlertRow {
  id: string;
  key: string;
  kind: string;
  subjectId: string;
  openedAt: Date;
}

/** Alerts of some kinds that are not resolved, in the order of their ids, from `afterId` on. */
export async function listOpenAlerts(
  tx: Tx,
  tenantId: string,
  kinds: readonly string[],
  { afterId, limit }: { afterId: string | undefined; limit: number },
): Promise<OpenAlertRow[]> {
  let query = tx
    .selectFrom("alerts")
    .select(["id", "dedup_key as key", "kind", "subject_id as subjectId", "opened_at as openedAt"])
    .where("tenant_id", "=", tenantId)
    .where("kind", "in", [...kinds])
    .where("state", "<>", "resolved")
    .orderBy("id")
    .limit(limit);
  if (afterId !== undefined) query = query.where("id", ">", afterId);
  return query.execute();
}

export async function countOpenAlerts(tx: Tx, tenantId: string): Promise<number> {
  const { count } = await tx
    .selectFrom("alerts")
    .select(sql<number>`count(*)`.as("count"))
    .where("tenant_id", "=", tenantId)
    .where("state", "<>", "resolved")
    .executeTakeFirstOrThrow();
  return count;
}

/** The rule whose alert a person has resolved stays silent until its condition has ended once. */
export async function dismissRuleState(tx: Tx, tenantId: string, alertId: string): Promise<void> {
  await sql`
    update alert_rule_states s set dismissed = true from alerts a
    where a.tenant_id = ${tenantId} and a.id = ${alertId}::uuid and a.rule_id is not null
      and s.tenant_id = a.tenant_id and s.rule_id = a.rule_id
      and (a.dedup_key = 'rule:' || s.rule_id or a.dedup_key = 'rule:' || s.rule_id || ':' || s.key)`.execute(
    tx,
  );
}

/** Deletes alerts that were resolved before `before`, with their history. */
export async function deleteOldAlerts(
  tx: Tx,
  tenantId: string,
  before: Date,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from alerts where tenant_id = ${tenantId} and id in (
      select id from alerts where tenant_id = ${tenantId} and state = 'resolved'
        and resolved_at < ${before} limit ${limit})`.execute(tx);
  return Number(numAffectedRows ?? 0n);
}
