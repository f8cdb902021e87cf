import { Type } from "typebox";
import { listOf, nullable, page, strict, Timestamp, Uuid, view } from "./common.ts";

export const LogLevel = Type.Enum(["trace", "debug", "info", "warn", "error", "fatal"] as const);

export const LogLineView = view("LogLine", {
  ts: Type.Number({ description: "Milliseconds since the epoch" }),
  level: LogLevel,
  deviceId: nullable(Type.String()),
  message: Type.String(),
  seq: Type.Integer(),
  logger: nullable(Type.String()),
  traceId: nullable(Type.String()),
  spanId: nullable(Type.String()),
  attributes: Type.Record(Type.String(), Type.Unknown()),
});
export const LogPage = page("LogPage", LogLineView);

export const LogTail = view("LogTail", {
  items: Type.Array(LogLineView),
  position: Type.String({ description: "Give it with the next request" }),
});

export const TraceView = view("Trace", {
  traceId: Type.String(),
  spans: Type.Array(
    view("Span", {
      spanId: Type.String(),
      parentSpanId: nullable(Type.String()),
      name: Type.String(),
      service: Type.String(),
      startMs: Type.Number(),
      durationMs: Type.Number(),
      status: Type.Enum(["unset", "ok", "error"] as const),
      statusMessage: nullable(Type.String()),
      attributes: Type.Record(Type.String(), Type.Unknown()),
    }),
  ),
  logs: Type.Array(LogLineView),
});

export const AlertState = Type.Enum(["open", "acknowledged", "resolved"] as const);

export const AlertView = view("Alert", {
  id: Uuid,
  kind: Type.String(),
  severity: Type.Enum(["info", "warning", "critical"] as const),
  title: Type.String(),
  subjectKind: Type.String(),
  subjectId: Type.String(),
  state: AlertState,
  details: Type.Record(Type.String(), Type.Unknown()),
  occurrences: Type.Integer(),
  openedAt: Timestamp,
  lastSeenAt: Timestamp,
  acknowledgedAt: nullable(Timestamp),
  acknowledgedBy: nullable(Type.String()),
  resolvedAt: nullable(Timestamp),
  resolvedBy: nullable(Type.String({ description: "Null where its cause has ended" })),
  labels: Type.Record(Type.String(), Type.String()),
  annotations: Type.Record(Type.String(), Type.String()),
  ruleId: nullable(Uuid),
  mutedBy: Type.Optional(
    nullable(
      Type.Object(
        { by: Type.Enum(["silence", "inhibition", "maintenance"] as const), of: Type.String() },
        { description: "Why nobody is told of it now" },
      ),
    ),
  ),
});
export const AlertPage = page("AlertPage", AlertView);

export const WebhookView = view("Webhook", {
  id: Uuid,
  url: Type.String(),
  eventTypes: Type.Array(Type.String()),
  enabled: Type.Boolean(),
  createdAt: Timestamp,
  createdBy: Type.String(),
});
export const WebhookList = listOf("WebhookList", WebhookView);
export const CreatedWebhookView = view("CreatedWebhook", {
  id: Uuid,
  secret: Type.String({ description: "whsec_…, shown this once" }),
});
export const CreateWebhookBody = strict({
  url: Type.String({ pattern: "^https?://", maxLength: 2048 }),
  eventTypes: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { minItems: 1, maxItems: 50 }),
  ),
});
