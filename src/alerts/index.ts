export { parseWebhookUrl } from "../kernel/guarded-request.ts";
export { isPublicAddress } from "../kernel/public-address.ts";
export type { AlertReport } from "./alert-store.ts";
export { type Alerts, type AlertsDeps, type AlertView, createAlerts } from "./alerts.ts";
export { outcomeOf } from "./delivery.ts";
export { type CloudEvent, EVENT_TYPES, type EventType, type PlatformEvent } from "./events.ts";
export type { DeliveryView, Webhooks, WebhookView } from "./webhooks.ts";
