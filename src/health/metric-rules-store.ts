import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

/** Metrics of a tenant that may have a row of their own. */
export const MAX_METRICS = 1_000;

export interface MetricRow {
  metric: string;
  enabled: boolean | null;
  useful: number;
  notUseful: number;
}

/** Metrics that somebody has said something about. */
export async function listMetrics(tx: Tx): Promise<MetricRow[]> {
  const { rows } = await sql<MetricRow>`
    select coalesce(m.metric, f.metric) as metric, m.enabled,
           coalesce(f.useful, 0) as useful, coalesce(f.not_useful, 0) as "notUseful"
    from detector_metrics m
    full join (
      select metric, count(*) filter (where useful) as useful,
             count(*) filter (where not useful) as not_useful
      from alert_feedback group by metric) f on f.metric = m.metric
    order by 1 limit ${MAX_METRICS}`.execute(tx);
  return rows;
}

/** False when the tenant has as many as it may. */
export async function setMetric(
  tx: Tx,
  tenantId: string,
  { metric, enabled }: { metric: string; enabled: boolean },
  by: { name: string; at: Date },
): Promise<boolean> {
  const { rows } = await sql`
    insert into detector_metrics (tenant_id, metric, enabled, updated_at, updated_by)
    select ${tenantId}, ${metric}, ${enabled}, ${by.at}, ${by.name}
    where exists (select 1 from detector_metrics where metric = ${metric})
       or (select count(*) from detector_metrics) < ${MAX_METRICS}
    on conflict (tenant_id, metric) do update set enabled = excluded.enabled,
      updated_at = excluded.updated_at, updated_by = excluded.updated_by
    returning metric`.execute(tx);
  return rows.length > 0;
}

/** The last word about an alert counts. */
export async function storeFeedback(
  tx: Tx,
  tenantId: string,
  feedback: { alertId: string; metric: string; useful: boolean },
  by: { name: string; at: Date },
): Promise<void> {
  await sql`
    insert into alert_feedback (tenant_id, alert_id, metric, useful, at, by)
    values (${tenantId}, ${feedback.alertId}, ${feedback.metric}, ${feedback.useful}, ${by.at},
            ${by.name})
    on conflict (tenant_id, alert_id) do update
      set useful = excluded.useful, at = excluded.at, by = excluded.by`.execute(tx);
}
