import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableText } from "../kernel/storable.ts";
import type { SeriesState } from "./evaluation.ts";
import type { AlertRuleDocument } from "./rule-document.ts";

export interface RuleRow {
  id: string;
  name: string;
  enabled: boolean;
  spec: AlertRuleDocument;
  created_at: Date;
  created_by: string;
  updated_at: Date;
  updated_by: string;
  evaluated_at: Date | null;
  last_error: string | null;
  firing: number;
  pending: number;
}

const COLUMNS = [
  "id",
  "name",
  "enabled",
  "spec",
  "created_at",
  "created_by",
  "updated_at",
  "updated_by",
  "evaluated_at",
  "last_error",
  "firing",
  "pending",
] as const;

export async function listRules(tx: Tx, tenantId: string): Promise<RuleRow[]> {
  const rows = await tx
    .selectFrom("alert_rules")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .orderBy("name")
    .execute();
  return rows as RuleRow[];
}

/** Locked until the transaction ends. */
export async function lockRule(tx: Tx, tenantId: string, id: string): Promise<RuleRow | undefined> {
  const row = await tx
    .selectFrom("alert_rules")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
  return row as RuleRow | undefined;
}

export async function insertRule(
  tx: Tx,
  tenantId: string,
  { id, spec, by, now }: { id: string; spec: AlertRuleDocument; by: string; now: Date },
): Promise<void> {
  await tx
    .insertInto("alert_rules")
    .values({
      ...{ tenant_id: tenantId, id, name: spec.name, enabled: spec.enabled ?? true },
      spec: JSON.stringify(spec),
      ...{ created_at: now, created_by: by, updated_at: now, updated_by: by },
      next_evaluation_at: now,
    })
    .execute();
}

export async function replaceRule(
  tx: Tx,
  tenantId: string,
  { id, spec, by, now }: { id: string; spec: AlertRuleDocument; by: string; now: Date },
): Promise<void> {
  await tx
    .updateTable("alert_rules")
    .set({
      ...{ name: spec.name, enabled: spec.enabled ?? true, spec: JSON.stringify(spec) },
      ...{ updated_at: now, updated_by: by, next_evaluation_at: now, last_error: null },
    })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

export async function deleteRule(tx: Tx, tenantId: string, id: string): Promise<void> {
  await tx
    .deleteFrom("alert_rules")
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

/** Takes rules that are due and puts them off by the lease; another worker's are passed over. */
export async function claimDueRules(
  tx: Tx,
  tenantId: string,
  { now, lease, limit }: { now: Date; lease: Date; limit: number },
): Promise<RuleRow[]> {
  const rows = await tx
    .updateTable("alert_rules")
    .set({ next_evaluation_at: lease })
    .where("tenant_id", "=", tenantId)
    .where("id", "in", (query) =>
      query
        .selectFrom("alert_rules")
        .select("id")
        .where("tenant_id", "=", tenantId)
        .where("enabled", "=", true)
        .where("next_evaluation_at", "<=", now)
        .orderBy("next_evaluation_at")
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .returning(COLUMNS)
    .execute();
  return rows as RuleRow[];
}

export async function settleRule(
  tx: Tx,
  tenantId: string,
  id: string,
  next: {
    evaluatedAt?: Date;
    lastError: string | null;
    counts?: { firing: number; pending: number };
    nextAt: Date;
  },
): Promise<void> {
  await tx
    .updateTable("alert_rules")
    .set({
      ...(next.evaluatedAt ? { evaluated_at: next.evaluatedAt } : {}),
      ...next.counts,
      last_error: next.lastError === null ? null : storableText(next.lastError, 512),
      next_evaluation_at: next.nextAt,
    })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

export async function readStates(
  tx: Tx,
  tenantId: string,
  ruleId: string,
): Promise<Map<string, SeriesState>> {
  const rows = await tx
    .selectFrom("alert_rule_states")
    .select(["key", "state", "since", "last_true_at", "value", "labels", "dismissed"])
    .where("tenant_id", "=", tenantId)
    .where("rule_id", "=", ruleId)
    .execute();
  return new Map(
    rows.map((row) => [
      row.key,
      {
        key: row.key,
        state: row.state as SeriesState["state"],
        since: row.since.getTime(),
        lastTrueAt: row.last_true_at.getTime(),
        value: row.value,
        labels: row.labels as Record<string, string>,
        dismissed: row.dismissed,
      },
    ]),
  );
}

/** Writes what a rule remembers and forgets the rest, in two statements whatever their number. */
export async function writeStates(
  tx: Tx,
  tenantId: string,
  ruleId: string,
  states: readonly SeriesState[],
): Promise<void> {
  const keys = states.map(({ key }) => key);
  await sql`
    delete from alert_rule_states where tenant_id = ${tenantId} and rule_id = ${ruleId}::uuid
      and not key = any(${keys}::text[])`.execute(tx);
  if (states.length === 0) return;
  const rows = JSON.stringify(
    states.map(({ key, state, since, lastTrueAt, value, labels, dismissed }) => ({
      ...{ key, state, value, labels, dismissed },
      since: new Date(since),
      last_true_at: new Date(lastTrueAt),
    })),
  );
  await sql`
    insert into alert_rule_states
      (tenant_id, rule_id, key, state, since, last_true_at, value, labels, dismissed)
    select ${tenantId}, ${ruleId}::uuid, s.key, s.state, s.since, s.last_true_at, s.value, s.labels,
           s.dismissed
    from jsonb_to_recordset(${rows}::jsonb) as s(key text, state text, since timestamptz,
      last_true_at timestamptz, value double precision, labels jsonb, dismissed boolean)
    on conflict (tenant_id, rule_id, key) do update set
      state = excluded.state, since = excluded.since, last_true_at = excluded.last_true_at,
      value = excluded.value, labels = excluded.labels, dismissed = excluded.dismissed`.execute(tx);
}

/** Keys of the alerts of a rule that are not resolved, with their titles. */
export async function openAlertsOf(
  tx: Tx,
  tenantId: string,
  ruleId: string,
): Promise<Map<string, string>> {
  const rows = await tx
    .selectFrom("alerts")
    .select(["dedup_key", "title"])
    .where("tenant_id", "=", tenantId)
    .where("rule_id", "=", ruleId)
    .where("state", "<>", "resolved")
    .execute();
  return new Map(rows.map(({ dedup_key, title }) => [dedup_key, title]));
}
