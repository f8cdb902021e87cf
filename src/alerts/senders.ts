import { createHash } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { parseWebhookUrl, postWebhook, type Resolve } from "../kernel/guarded-request.ts";
import type { Clock } from "../kernel/index.ts";
import type { MailServer } from "../kernel/mail-server.ts";
import type { PrivateAddresses } from "../kernel/public-address.ts";
import {
  type ChannelKind,
  type ChannelSettingsDocument,
  PAGERDUTY_URL,
} from "./channel-settings.ts";
import { sendMail } from "./mail.ts";
import { headline, type Notification } from "./notification.ts";

export interface SendingDeps {
  clock: Clock;
  allowPrivateAddresses: PrivateAddresses;
  resolve?: Resolve | undefined;
  /** The platform's own, for channels that name none. */
  mailServer?: MailServer | undefined;
  /** Where people reach the console. */
  consoleUrl?: string | undefined;
}

export interface Message {
  /** The same in every attempt. */
  id: string;
  kind: ChannelKind;
  settings: ChannelSettingsDocument;
  secret: string;
  notification: Notification;
}

export interface Sent {
  status: number;
  /** Null where it has arrived. */
  failure: string | null;
  /** Whether another attempt makes no sense. */
  isFinal: boolean;
}

/** Sends one message by its channel's own protocol; throws where there was no answer. */
export async function sendMessage(deps: SendingDeps, message: Message): Promise<Sent> {
  switch (message.kind) {
    case "webhook":
      return post(deps, message.settings.url ?? "", ...webhookRequest(deps, message));
    case "slack":
      return post(deps, message.secret, slackBody(message.notification, deps.consoleUrl));
    case "pagerduty": {
      const event = pagerDutyEvent(message.secret, message.notification, deps.consoleUrl);
      return post(deps, message.settings.url ?? PAGERDUTY_URL, JSON.stringify(event));
    }
    case "email":
      return sendMail(deps, message);
  }
}

async function post(
  deps: SendingDeps,
  address: string,
  body: string,
  headers: Record<string, string> = {},
): Promise<Sent> {
  const url = parseWebhookUrl(address, deps.allowPrivateAddresses);
  const sent = { "content-type": "application/json; charset=utf-8", "user-agent": "vautn" };
  const status = await postWebhook(url, body, { ...sent, ...headers }, deps);
  if (status >= 200 && status < 300) return { status, failure: null, isFinal: true };
  // 408 and 429 ask for patience; every other 4xx says that the same will be refused again.
  const isFinal = status >= 400 && status < 500 && status !== 408 && status !== 429;
  return { status, failure: `the receiver answered ${status}`, isFinal };
}

/** Standard Webhooks, with a CloudEvent as its body. */
function webhookRequest(
  { clock, consoleUrl }: SendingDeps,
  { id, secret, notification }: Message,
): [string, Record<string, string>] {
  const at = new Date(clock.now());
  const body = JSON.stringify({
    specversion: "1.0",
    id,
    source: `/tenants/${notification.tenant}`,
    type: "vautn.alert.notification",
    subject: notification.groupKey,
    time: at.toISOString(),
    datacontenttype: "application/json",
    data: { ...notification, externalURL: pageOf(notification, consoleUrl) },
  });
  const headers = {
    "content-type": "application/cloudevents+json; charset=utf-8",
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
    "webhook-signature": new Webhook(secret).sign(id, at, body),
  };
  return [body, headers];
}

/** The page of the alerts; without an address only where it is below the console's. */
function pageOf({ tenant, externalURL }: Notification, consoleUrl: string | undefined): string {
  return consoleUrl ? `${consoleUrl}/t/${tenant}${externalURL}` : externalURL;
}

const COLOURS = { critical: "#d1242f", warning: "#bf8700", info: "#0969da" } as const;
const MAX_SLACK_ALERTS = 10;

/** Slack's incoming webhook, which Mattermost, Rocket.Chat and others understand as well. */
export function slackBody(notification: Notification, consoleUrl: string | undefined): string {
  const shown = notification.alerts.slice(0, MAX_SLACK_ALERTS);
  const more = notification.alerts.length + notification.truncatedAlerts - shown.length;
  const link = consoleUrl ? `${consoleUrl}/t/${notification.tenant}/alerts` : undefined;
  return JSON.stringify({
    text: escapeSlack(headline(notification)),
    attachments: [
      ...shown.map((alert) => ({
        color: alert.status === "resolved" ? "#1a7f37" : COLOURS[alert.severity],
        title: escapeSlack(alert.title),
        ...(link ? { title_link: link } : {}),
        fallback: escapeSlack(alert.title),
        text: escapeSlack(Object.values(alert.annotations).join("\n")),
        fields: Object.entries(toldLabels(alert.labels)).map(([title, value]) => ({
          title,
          value: escapeSlack(value),
          short: true,
        })),
        ts: Math.floor(Date.parse(alert.endsAt ?? alert.startsAt) / 1000),
      })),
      ...(more > 0 ? [{ text: `... and ${more} more` }] : []),
    ],
  });
}

/** Labels without those that say once more what another one says. */
function toldLabels(labels: Record<string, string>): Record<string, string> {
  const { alertname, subjectKind, subjectId, ...told } = labels;
  const isNamed = subjectId !== undefined && subjectId === told.device;
  return {
    ...told,
    ...(alertname === told.rule || alertname === told.kind ? {} : { alertname }),
    ...(isNamed ? {} : { subjectKind, subjectId }),
  } as Record<string, string>;
}

/** Slack: these three are control characters; a device's name must not ring everybody's bell. */
function escapeSlack(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

const PAGERDUTY_SEVERITY = { critical: "critical", warning: "warning", info: "info" } as const;
const SEVERITY_ORDER = ["critical", "warning", "info"] as const;

/** Events API v2: one incident a group, by its `dedup_key` from trigger to resolve. */
export function pagerDutyEvent(
  routingKey: string,
  notification: Notification,
  consoleUrl: string | undefined,
): object {
  const { status, acknowledged, groupKey, alerts, escalation } = notification;
  const action = status === "resolved" ? "resolve" : acknowledged ? "acknowledge" : "trigger";
  const base = {
    routing_key: routingKey,
    // At most 255 characters.
    dedup_key: createHash("sha256").update(groupKey).digest("hex"),
    event_action: action,
  };
  if (action !== "trigger") return base;
  const worst = SEVERITY_ORDER.find((severity) =>
    alerts.some((alert) => alert.status === "firing" && alert.severity === severity),
  );
  return {
    ...base,
    payload: {
      summary: headline(notification).slice(0, 1_024),
      source: notification.tenant,
      severity: PAGERDUTY_SEVERITY[worst ?? "info"],
      timestamp: alerts[0]?.startsAt,
      group: notification.receiver,
      custom_details: {
        labels: notification.groupLabels,
        escalation,
        alerts: alerts.slice(0, MAX_SLACK_ALERTS).map(({ title, labels }) => ({ title, labels })),
      },
    },
    client: "Vautn",
    ...(consoleUrl ? { client_url: `${consoleUrl}/t/${notification.tenant}/alerts` } : {}),
  };
}
