import { labelsOf } from "./alert-labels.ts";
import type { AlertRow } from "./alert-store.ts";
import type { Saying } from "./flush.ts";

/** What a channel is told, in the shape of Alertmanager's webhook (version 4). */
export interface Notification {
  version: "4";
  tenant: string;
  status: "firing" | "resolved";
  /** The same from the first word about a group to its last. */
  groupKey: string;
  receiver: string;
  groupLabels: Record<string, string>;
  commonLabels: Record<string, string>;
  commonAnnotations: Record<string, string>;
  /** Where the console has it, below the console's address and the tenant; in messages all of it. */
  externalURL: string;
  truncatedAlerts: number;
  alerts: NotifiedAlert[];
  acknowledged: boolean;
  /** Number of the step, from 1, where nobody has reacted. */
  escalation: number | null;
  isTest?: true;
}

export interface NotifiedAlert {
  id: string;
  status: "firing" | "resolved";
  title: string;
  severity: AlertRow["severity"];
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsAt: string;
  endsAt: string | null;
  fingerprint: string;
}

/** Alerts that one notification names; the rest is a number. */
const MAX_ALERTS = 50;

export function notificationOf(
  tenantId: string,
  group: { route: string; labels: Record<string, string> },
  saying: Pick<Saying, "firing" | "resolved" | "isAcknowledged" | "escalation">,
  members: ReadonlyMap<string, AlertRow>,
): Notification {
  const firing = saying.firing.flatMap((id) => members.get(id) ?? []);
  const resolved = saying.resolved.flatMap((id) => members.get(id) ?? []);
  const all = [...firing, ...resolved];
  const alerts = all.slice(0, MAX_ALERTS).map(notified);
  return {
    version: "4",
    tenant: tenantId,
    status: firing.length > 0 ? "firing" : "resolved",
    groupKey: `${tenantId}/${group.route}:${JSON.stringify(sorted(group.labels))}`,
    receiver: group.route,
    groupLabels: group.labels,
    commonLabels: common(alerts.map(({ labels }) => labels)),
    commonAnnotations: common(alerts.map(({ annotations }) => annotations)),
    externalURL: "/alerts",
    truncatedAlerts: all.length - alerts.length,
    alerts,
    acknowledged: saying.isAcknowledged,
    escalation: saying.escalation,
  };
}

function notified(row: AlertRow): NotifiedAlert {
  return {
    id: row.id,
    status: row.state === "resolved" ? "resolved" : "firing",
    title: row.title,
    severity: row.severity,
    labels: { alertname: row.labels.rule ?? row.kind, ...labelsOf(row) },
    annotations: row.annotations,
    startsAt: row.opened_at.toISOString(),
    endsAt: row.resolved_at?.toISOString() ?? null,
    fingerprint: row.id,
  };
}

export function sorted(labels: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function common(all: readonly Record<string, string>[]): Record<string, string> {
  const [first = {}, ...rest] = all;
  return Object.fromEntries(
    Object.entries(first).filter(([key, value]) => rest.every((other) => other[key] === value)),
  );
}

/** One line for a subject, a push message or an incident's summary. */
export function headline(notification: Notification): string {
  const { alerts, truncatedAlerts, status, acknowledged, escalation, isTest } = notification;
  const count = alerts.length + truncatedAlerts;
  const open = alerts.filter((alert) => alert.status === "firing").length + truncatedAlerts;
  const [first] = alerts;
  const word = status === "resolved" ? "RESOLVED" : acknowledged ? "ACKNOWLEDGED" : "FIRING";
  const mark = isTest ? "TEST" : status === "firing" && count > 1 ? `${word}:${open}` : word;
  const others = count > 1 ? ` (and ${count - 1} more)` : "";
  const again = escalation === null ? "" : " [nobody has acknowledged it]";
  return oneLine(`[${mark}] ${first?.title ?? "no alert"}${others}${again}`);
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ");
}

/** What a person reads in an e-mail. */
export function plainText(notification: Notification, consoleUrl: string | undefined): string {
  const lines = notification.alerts.map((alert) => {
    const ends = alert.endsAt ? `\n  ended    ${alert.endsAt}` : "";
    const notes = Object.entries(alert.annotations).map(([key, value]) => `\n  ${key}: ${value}`);
    const labels = Object.entries(alert.labels).map(([key, value]) => `${key}=${value}`);
    return (
      `${alert.status === "firing" ? "*" : "-"} [${alert.severity}] ${oneLine(alert.title)}` +
      `\n  since    ${alert.startsAt}${ends}\n  ${labels.join(", ")}${notes.join("")}`
    );
  });
  const rest =
    notification.truncatedAlerts > 0 ? [`... and ${notification.truncatedAlerts} more`] : [];
  const where = consoleUrl
    ? [`${consoleUrl}/t/${notification.tenant}${notification.externalURL}`]
    : [];
  return `${[...lines, ...rest, ...where].join("\n\n")}\n`;
}
