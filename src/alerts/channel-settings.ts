import { type Static, Type } from "typebox";
import { parseWebhookUrl } from "../kernel/guarded-request.ts";
import { AppError } from "../kernel/index.ts";
import type { PrivateAddresses } from "../kernel/public-address.ts";

const strict = { additionalProperties: false };
const Address = Type.String({
  pattern: '^[^\\s@<>",;]{1,64}@[A-Za-z0-9.-]{1,190}$',
  description: "An e-mail address without a name",
});

export const CHANNEL_KINDS = ["webhook", "email", "slack", "pagerduty"] as const;
export type ChannelKind = (typeof CHANNEL_KINDS)[number];

/** What may be seen of a channel; which parts it has depends on its kind. */
export const ChannelSettings = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        maxLength: 2_048,
        description: "webhook: where to. pagerduty: another address of the Events API v2",
      }),
    ),
    to: Type.Optional(Type.Array(Address, { minItems: 1, maxItems: 50, description: "email" })),
    from: Type.Optional(Address),
    smtp: Type.Optional(
      Type.Object(
        {
          host: Type.String({ pattern: "^[A-Za-z0-9.:-]{1,253}$" }),
          port: Type.Integer({ minimum: 1, maximum: 65_535 }),
          security: Type.Enum(["tls", "starttls", "none"] as const),
          username: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
        },
        { ...strict, description: "email: a server of the tenant's own; else the platform's" },
      ),
    ),
    sendResolved: Type.Optional(
      Type.Boolean({ description: "Whether the end of an alert is told, which is the default" }),
    ),
  },
  { ...strict, title: "AlertChannelSettings" },
);
export type ChannelSettingsDocument = Static<typeof ChannelSettings>;

/** PagerDuty's own address of the Events API v2. */
export const PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue";

const PARTS: Record<ChannelKind, readonly (keyof ChannelSettingsDocument)[]> = {
  webhook: ["url", "sendResolved"],
  email: ["to", "from", "smtp", "sendResolved"],
  slack: ["sendResolved"],
  pagerduty: ["url", "sendResolved"],
};

/** What the schema cannot say. `secret` is undefined where a change keeps the one that there is. */
export function checkChannel(
  kind: ChannelKind,
  settings: ChannelSettingsDocument,
  secret: string | undefined,
  {
    allowPrivateAddresses,
    hasMailServer,
  }: { allowPrivateAddresses: PrivateAddresses; hasMailServer: boolean },
): void {
  const refuse = (path: string, message: string) => {
    throw new AppError("invalid-request", `${path}: ${message}`, { errors: [{ path, message }] });
  };
  for (const key of Object.keys(settings) as (keyof ChannelSettingsDocument)[]) {
    if (!PARTS[kind].includes(key))
      refuse(`/settings/${key}`, `a channel of kind ${kind} has none`);
  }
  const checkUrl = (url: string, path: string) => {
    try {
      parseWebhookUrl(url, allowPrivateAddresses);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      refuse(path, error.message);
    }
  };
  if (kind === "webhook" && settings.url === undefined) refuse("/settings/url", "is missing");
  if (settings.url !== undefined) checkUrl(settings.url, "/settings/url");
  if (kind === "email") {
    if (!settings.to) refuse("/settings/to", "is missing");
    if (!settings.smtp && !hasMailServer) {
      refuse("/settings/smtp", "is missing, and the platform has no mail server (VAUTN_SMTP_URL)");
    }
    if (
      settings.smtp?.username &&
      settings.smtp.security === "none" &&
      allowPrivateAddresses !== true
    ) {
      refuse("/settings/smtp/security", "a password is not sent without TLS");
    }
  }
  if (kind === "slack" && secret !== undefined) checkUrl(secret, "/secret");
  if (kind === "pagerduty" && secret !== undefined && !/^[A-Za-z0-9_-]{16,64}$/.test(secret)) {
    refuse("/secret", "is no integration key of PagerDuty");
  }
}

/** Whether a channel of this kind does not work without a secret from outside. */
export function needsSecret(kind: ChannelKind, settings: ChannelSettingsDocument): boolean {
  return kind === "slack" || kind === "pagerduty" || settings.smtp?.username !== undefined;
}

/** Binds a sealed secret to its channel. */
export function channelContext(tenantId: string, channelId: string): string {
  return `alert-channel:${tenantId}:${channelId}`;
}
