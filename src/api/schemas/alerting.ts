import { Type } from "typebox";
import { AlertRuleSpec } from "../../alert-rules/index.ts";
import { AlertPolicy, CHANNEL_KINDS, ChannelSettings } from "../../alerts/index.ts";
import { listOf, nullable, strict, Timestamp, Uuid, view } from "./common.ts";

const Labels = Type.Record(Type.String(), Type.String());

export const AlertHistory = listOf(
  "AlertHistory",
  view("AlertStep", {
    at: Timestamp,
    what: Type.String(),
    who: nullable(Type.String()),
    details: Type.Record(Type.String(), Type.Unknown()),
  }),
);

export const AlertRuleView = view("AlertRule", {
  id: Uuid,
  spec: AlertRuleSpec,
  state: Type.Enum(["firing", "pending", "inactive", "disabled", "failing"] as const),
  firing: Type.Integer(),
  pending: Type.Integer(),
  evaluatedAt: nullable(Timestamp),
  lastError: nullable(Type.String()),
  createdAt: Timestamp,
  createdBy: Type.String(),
  updatedAt: Timestamp,
  updatedBy: Type.String(),
});
export const AlertRuleList = listOf("AlertRuleList", AlertRuleView);

export const AlertRulePreview = view("AlertRulePreview", {
  samples: Type.Integer({ description: "Figures that the rule looks at" }),
  holding: Type.Integer({ description: "Of these, how many fulfil its condition now" }),
  isCollapsed: Type.Boolean({ description: "Whether one alert would speak for all of them" }),
  items: Type.Array(
    view("AlertRuleSample", {
      key: Type.String(),
      value: Type.Number(),
      holds: Type.Boolean(),
      labels: Labels,
    }),
  ),
});

export const SilenceBody = strict(
  {
    matchers: Type.Array(Type.String({ minLength: 1, maxLength: 700 }), {
      minItems: 1,
      maxItems: 20,
      description: 'As Alertmanager writes them: `severity="warning"`, `device=~"hub-.*"`',
    }),
    startsAt: Type.Optional(Timestamp),
    endsAt: Timestamp,
    comment: Type.String({ minLength: 1, maxLength: 512 }),
  },
  { title: "NewAlertSilence" },
);
export const SilenceView = view("AlertSilence", {
  id: Uuid,
  matchers: Type.Array(Type.String()),
  startsAt: Timestamp,
  endsAt: Timestamp,
  comment: Type.String(),
  state: Type.Enum(["pending", "active", "expired"] as const),
  createdAt: Timestamp,
  createdBy: Type.String(),
  endedBy: nullable(Type.String()),
});
export const SilenceList = listOf("AlertSilenceList", SilenceView);

export const AlertPolicyView = view("AlertPolicyView", {
  document: AlertPolicy,
  updatedAt: nullable(Timestamp),
  updatedBy: nullable(Type.String()),
});

const Kind = Type.Enum(CHANNEL_KINDS);
const Name = Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$" });
const Secret = Type.String({
  minLength: 1,
  maxLength: 2_048,
  description: "slack: the webhook's URL; pagerduty: the integration key; email: the password",
});
const channelFields = {
  name: Name,
  settings: ChannelSettings,
  enabled: Type.Optional(Type.Boolean()),
  secret: Type.Optional(Secret),
};
export const NewChannelBody = strict(
  { ...channelFields, kind: Kind },
  { title: "NewAlertChannel" },
);
export const ChannelBody = strict(channelFields, { title: "AlertChannelUpdate" });
const shown = {
  id: Uuid,
  name: Type.String(),
  kind: Kind,
  settings: ChannelSettings,
  enabled: Type.Boolean(),
  createdAt: Timestamp,
  createdBy: Type.String(),
  updatedAt: Timestamp,
};
export const ChannelView = view("AlertChannel", shown);
export const CreatedChannelView = view("CreatedAlertChannel", {
  ...shown,
  secret: nullable(Type.String({ description: "webhook: whsec_…, shown this once" })),
});
export const ChannelList = listOf("AlertChannelList", ChannelView);

export const NotificationView = view("AlertNotification", {
  id: Uuid,
  summary: Type.String(),
  status: Type.Enum(["pending", "delivered", "failed"] as const),
  attempts: Type.Integer(),
  nextAttemptAt: nullable(Timestamp),
  lastStatus: nullable(Type.Integer()),
  lastError: nullable(Type.String()),
  createdAt: Timestamp,
  deliveredAt: nullable(Timestamp),
});
export const NotificationList = listOf("AlertNotificationList", NotificationView);
