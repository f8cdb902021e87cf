export { parseWebhookUrl } from "../kernel/guarded-request.ts";
export { isPublicAddress } from "../kernel/public-address.ts";
export type { AlertReport } from "./alert-store.ts";
export {
  ALERTS_KEPT_MS,
  type AlertListOptions,
  type Alerts,
  type AlertsDeps,
  type AlertView,
  createAlerts,
  type ShownAlert,
} from "./alerts.ts";
export { CHANNEL_KINDS, ChannelSettings } from "./channel-settings.ts";
export type { Channels, ChannelView, NewChannel, NotificationView } from "./channels.ts";
export { outcomeOf } from "./delivery.ts";
export { type CloudEvent, EVENT_TYPES, type EventType, type PlatformEvent } from "./events.ts";
export { planFlush } from "./flush.ts";
export type { AlertHistoryRow } from "./history-store.ts";
export { matchesAll, parseMatcher, parseMatchers } from "./matchers.ts";
export type { Policies, PolicyView } from "./policies.ts";
export { AlertPolicy, type AlertPolicyDocument, DEFAULT_POLICY } from "./policy-document.ts";
export { mutingOf, readPolicy, routesFor } from "./routing.ts";
export type { Silences, SilenceView } from "./silences.ts";
export type { DeliveryView, Webhooks, WebhookView } from "./webhooks.ts";
