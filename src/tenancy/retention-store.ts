import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { RetentionRule } from "../protocol/index.ts";

/** One at a time changes a tenant's rules, until its transaction ends. */
export async function lockRules(tx: Tx, tenantId: string): Promise<void> {
  const key = `telemetry-retention/${tenantId}`;
  await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx);
}

/** In the order in which they are tried. */
export async function listRules(tx: Tx): Promise<RetentionRule[]> {
  const { rows } = await sql<RetentionRule>`
    select pattern, point_days as points, minute_days as minutes, hour_days as hours,
      day_days as days
    from telemetry_retention_rules order by position`.execute(tx);
  return rows;
}

export async function replaceRules(
  tx: Tx,
  tenantId: string,
  rules: readonly RetentionRule[],
): Promise<void> {
  await sql`delete from telemetry_retention_rules where tenant_id = ${tenantId}`.execute(tx);
  if (rules.length === 0) return;
  const column = <T>(read: (rule: RetentionRule) => T) => rules.map(read);
  await sql`
    insert into telemetry_retention_rules
      (tenant_id, position, pattern, point_days, minute_days, hour_days, day_days)
    select ${tenantId}, r.position, r.pattern, r.points, r.minutes, r.hours, r.days from unnest(
      ${column(({ pattern }) => pattern)}::text[], ${column(({ points }) => points)}::integer[],
      ${column(({ minutes }) => minutes)}::integer[], ${column(({ hours }) => hours)}::integer[],
      ${column(({ days }) => days)}::integer[]
    ) with ordinality as r (pattern, points, minutes, hours, days, position)`.execute(tx);
}
