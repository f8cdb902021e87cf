import { timeOrderedId } from "../kernel/index.ts";

/** Types of the events that webhooks receive. */
export const EVENT_TYPES = [
  "vautn.alert.raised",
  "vautn.alert.acknowledged",
  "vautn.alert.resolved",
  "vautn.rollout.started",
  "vautn.rollout.promoted",
  "vautn.rollout.paused",
  "vautn.rollout.needs-decision",
  "vautn.rollout.resumed",
  "vautn.rollout.rolling-back",
  "vautn.rollout.rolled-back",
  "vautn.rollout.succeeded",
  "vautn.rollout.cancelled",
  "vautn.rollout.failed",
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** What happened, as a module tells it. */
export interface PlatformEvent {
  type: EventType;
  /** What it is about, e.g. `rollouts/<id>`. */
  subject: string;
  data: Record<string, unknown>;
}

/** CloudEvents 1.0, structured JSON mode. */
export interface CloudEvent {
  specversion: "1.0";
  id: string;
  source: string;
  type: EventType;
  subject: string;
  time: string;
  datacontenttype: "application/json";
  data: Record<string, unknown>;
}

export function cloudEvent(tenantId: string, event: PlatformEvent, nowMs: number): CloudEvent {
  return {
    specversion: "1.0",
    id: timeOrderedId(nowMs),
    source: `/tenants/${tenantId}`,
    type: event.type,
    subject: event.subject,
    time: new Date(nowMs).toISOString(),
    datacontenttype: "application/json",
    data: event.data,
  };
}
