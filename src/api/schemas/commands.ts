import { Type } from "typebox";
import {
  DeviceId,
  FleetQueryText,
  Name,
  nullable,
  page,
  strict,
  Timestamp,
  Uuid,
  view,
} from "./common.ts";

const STATUSES = [
  "waiting",
  "queued",
  "delivered",
  "accepted",
  "running",
  "succeeded",
  "failed",
  "rejected",
  "expired",
  "timed-out",
  "replaced",
  "cancelled",
] as const;
const MAX_SECONDS = 30 * 86_400;

export const CommandStatus = Type.Enum(STATUSES);
const Count = Type.Integer({ minimum: 0 });
const seconds = (maximum: number, description?: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum, ...(description ? { description } : {}) }));

export const CommandView = view("Command", {
  id: Uuid,
  deviceId: DeviceId,
  batchId: nullable(Uuid),
  name: Type.String(),
  args: Type.Unknown(),
  status: CommandStatus,
  priority: Type.Integer(),
  coalesceKey: nullable(Type.String()),
  attempt: Type.Integer({ description: "Each attempt is a command of its own" }),
  maxAttempts: Type.Integer(),
  retryDelaySeconds: Type.Integer(),
  retryOn: Type.Array(Type.String(), { description: "Ends after which another attempt is made" }),
  deadlines: strict({
    deliveredSeconds: nullable(Type.Integer()),
    acceptedSeconds: nullable(Type.Integer()),
    runningSeconds: nullable(Type.Integer()),
  }),
  retryOf: nullable(Uuid),
  retriedBy: nullable(Uuid),
  replacedBy: nullable(Uuid),
  createdAt: Timestamp,
  createdBy: Type.String(),
  expiresAt: Timestamp,
  deliveredAt: nullable(Timestamp),
  acceptedAt: nullable(Timestamp),
  finishedAt: nullable(Timestamp),
  progress: nullable(Type.Number({ description: "0 to 1" })),
  output: Type.Unknown(),
  error: nullable(Type.String()),
  stream: nullable(
    Type.String({ description: "The end of what the device has written; null in lists" }),
  ),
  streamCut: Type.Boolean({ description: "Earlier parts of the stream are gone" }),
  lateResult: Type.Unknown({ description: "What the device said after the end" }),
  traceparent: nullable(Type.String()),
});
export const CommandPage = page("CommandPage", CommandView);

export const CommandBatchView = view("CommandBatch", {
  id: Uuid,
  name: Type.String(),
  targetKind: Type.Enum(["devices", "group", "query"] as const),
  target: Type.String({ description: "The query, the group, or how many devices were named" }),
  state: Type.Enum(["running", "paused", "cancelled", "done"] as const),
  devices: Count,
  counts: Type.Object(Object.fromEntries(STATUSES.map((status) => [status, Count])), {
    description: "Devices by the state of their last attempt",
    additionalProperties: false,
  }),
  concurrency: nullable(Type.Integer()),
  batchSize: nullable(Type.Integer()),
  intervalSeconds: nullable(Type.Integer()),
  ttlSeconds: Type.Integer(),
  createdAt: Timestamp,
  createdBy: Type.String(),
  traceparent: nullable(Type.String()),
});
export const CommandBatchPage = page("CommandBatchPage", CommandBatchView);

export const SentCommands = view("SentCommands", {
  items: Type.Array(CommandView, { description: "The first 500" }),
  batch: nullable(CommandBatchView),
});

export const SendCommandBody = strict({
  devices: Type.Optional(Type.Array(DeviceId, { minItems: 1, maxItems: 1000 })),
  query: Type.Optional(FleetQueryText),
  group: Type.Optional(Name),
  name: Type.String({ pattern: "^[A-Za-z][A-Za-z0-9._-]{0,63}$" }),
  args: Type.Optional(Type.Unknown()),
  ttlSeconds: seconds(MAX_SECONDS, "3600 where left out; in a paced batch from the release on"),
  priority: Type.Optional(
    Type.Integer({ minimum: -100, maximum: 100, description: "Higher is delivered first" }),
  ),
  coalesceKey: Type.Optional(
    Type.String({
      pattern: "^[\\x21-\\x7e]{1,128}$",
      description: "Replaces the device's undelivered commands of the same key",
    }),
  ),
  deadlines: Type.Optional(
    strict({
      deliveredSeconds: seconds(MAX_SECONDS, "From the queue to the device's acknowledgement"),
      acceptedSeconds: seconds(MAX_SECONDS, "From there to its first word"),
      runningSeconds: seconds(MAX_SECONDS, "From there to its last"),
    }),
  ),
  retry: Type.Optional(
    strict({
      attempts: Type.Integer({ minimum: 1, maximum: 10, description: "The first one counts" }),
      delaySeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400 })),
      on: Type.Optional(
        Type.Array(Type.Enum(["failed", "timed-out"] as const), { minItems: 1, maxItems: 2 }),
      ),
    }),
  ),
  pace: Type.Optional(
    strict({
      concurrency: Type.Optional(
        Type.Integer({ minimum: 1, maximum: 50_000, description: "Under way at once" }),
      ),
      batchSize: Type.Optional(
        Type.Integer({ minimum: 1, maximum: 1_000, description: "Released together" }),
      ),
      intervalSeconds: seconds(86_400, "Between two releases"),
    }),
  ),
});
