export { isPublicAddress } from "./addresses.ts";
export type { AlertReport } from "./alert-store.ts";
export { type Alerts, type AlertsDeps, type AlertView, createAlerts } from "./alerts.ts";
export { outcomeOf } from "./delivery.ts";
export { type CloudEvent, EVENT_TYPES, type EventType, type PlatformEvent } from "./events.ts";
export { parseWebhookUrl } from "./webhook-request.ts";
export type { DeliveryView, Webhooks, WebhookView } from "./webhooks.ts";
