import type { Tx } from "../db/index.ts";
import { storableJson, storableText } from "../kernel/storable.ts";

/** What may happen to an alert. */
export type AlertStep =
  | "opened"
  | "acknowledged"
  | "resolved"
  | "notified"
  | "escalated"
  | "muted"
  | "unmuted";

export interface AlertHistoryRow {
  at: Date;
  what: AlertStep;
  who: string | null;
  details: Record<string, unknown>;
}

const MAX_STEPS = 500;

export async function appendHistory(
  tx: Tx,
  tenantId: string,
  alertIds: readonly string[],
  step: AlertHistoryRow,
): Promise<void> {
  if (alertIds.length === 0) return;
  const { at, what } = step;
  const who = step.who === null ? null : storableText(step.who, 256);
  const details = storableJson(step.details);
  await tx
    .insertInto("alert_history")
    .values(alertIds.map((alert_id) => ({ tenant_id: tenantId, alert_id, at, what, who, details })))
    .execute();
}

/** The last steps of an alert, oldest first. */
export async function readHistory(
  tx: Tx,
  tenantId: string,
  alertId: string,
): Promise<AlertHistoryRow[]> {
  const rows = await tx
    .selectFrom("alert_history")
    .select(["at", "what", "who", "details"])
    .where("tenant_id", "=", tenantId)
    .where("alert_id", "=", alertId)
    .orderBy("id", "desc")
    .limit(MAX_STEPS)
    .execute();
  return (rows as AlertHistoryRow[]).reverse();
}
