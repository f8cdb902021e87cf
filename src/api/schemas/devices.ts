import { Type } from "typebox";
import { REVOCATION_REASON_NAMES } from "../../identity/index.ts";
import {
  DeviceId,
  FleetQueryText,
  listOf,
  Name,
  nullable,
  page,
  Sha256,
  strict,
  Tags,
  Timestamp,
  Uuid,
  view,
  Word,
} from "./common.ts";

const Firmware = view("RunningFirmware", {
  version: Type.String(),
  sha256: Sha256,
  slot: Type.String(),
});

const BootChainView = view("BootChain", {
  kind: Type.String({ description: "Who verifies: uefi, u-boot" }),
  secureBoot: Type.Boolean(),
  setupMode: Type.Boolean({ description: "Keys can be changed by anyone" }),
  keys: Type.Record(Type.String(), Type.String(), {
    description: "SHA-256 of the contents of PK, KEK, db, dbx",
  }),
  stages: Type.Array(
    Type.Object({
      stage: Type.String({ description: "loader, system, configuration" }),
      version: Type.String(),
      counter: Type.Optional(Type.Integer()),
      floor: Type.Optional(Type.Integer({ description: "The lowest counter that is accepted" })),
      source: Type.Optional(Type.String({ description: "current, previous, built-in" })),
      fault: Type.Optional(Type.String({ description: "Why a newer one does not run" })),
    }),
  ),
});

export const DeviceView = view("Device", {
  id: DeviceId,
  product: Type.String(),
  hardwareRevision: Type.String(),
  region: Type.String(),
  tags: Type.Record(Type.String(), Type.Unknown()),
  status: Type.Enum(["active", "quarantined", "revoked"] as const),
  presence: Type.Enum(["never", "online", "late", "offline"] as const),
  presenceChangedAt: nullable(Timestamp),
  health: Type.Enum(["unknown", "healthy", "degraded", "failing", "offline"] as const),
  healthReasons: Type.Array(
    view("HealthReason", {
      code: Type.String({ description: "silent, late, asleep, crash-loop, link-flapping, …" }),
      message: Type.String(),
      since: Timestamp,
    }),
    { description: "Every reason, the worst first" },
  ),
  healthChangedAt: nullable(Timestamp),
  asleepUntil: nullable(Timestamp),
  lastSeenAt: nullable(Timestamp),
  connected: Type.Boolean(),
  firmware: nullable(Firmware),
  otherSlot: nullable(Type.Object({ version: Type.String(), sha256: Type.String() })),
  formats: Type.Array(Type.String()),
  bootId: nullable(Type.String()),
  clockOffsetMs: nullable(
    Type.Number({ description: "How far its clock is behind ours, by its heartbeats" }),
  ),
  uptimeSeconds: nullable(Type.Number()),
  metrics: Type.Record(Type.String(), Type.Number()),
  bootChain: nullable(BootChainView),
  createdAt: Timestamp,
});
export const DevicePage = view("DevicePage", {
  items: Type.Array(DeviceView),
  nextCursor: nullable(Type.String()),
  total: Type.Optional(Type.Integer({ description: "Devices that the query matches" })),
});

export const EnrollDeviceBody = strict({
  id: DeviceId,
  product: Word,
  hardwareRevision: Word,
  region: Type.Optional(Type.String({ maxLength: 64 })),
  tags: Type.Optional(Tags),
  csr: Type.Optional(
    Type.String({
      maxLength: 16 * 1024,
      description: "PKCS#10 request, PEM or base64 DER; without it the device is only registered",
    }),
  ),
});
export const EnrolledDeviceView = view("EnrolledDevice", {
  device: DeviceView,
  certificate: nullable(
    view("CertificateBundle", {
      serial: Type.String(),
      certificatePem: Type.String(),
      chainPem: Type.String(),
      rootPem: Type.String(),
    }),
  ),
});
export const DeviceConnection = view("DeviceConnection", {
  mqttUrl: Type.String({ description: "Where devices connect by MQTT over mutual TLS" }),
  httpsUrl: Type.String({ description: "Where devices fetch artifacts and certificates" }),
  rootPem: Type.String({ description: "The root certificate that devices trust" }),
});
export const UpdateDeviceBody = strict({
  tags: Type.Optional(Tags),
  region: Type.Optional(Type.String({ maxLength: 64 })),
  status: Type.Optional(Type.Enum(["active", "quarantined"] as const)),
});
const RevocationReasonText = Type.Enum(REVOCATION_REASON_NAMES, {
  description: "CRLReason of RFC 5280; unspecified where left out",
});
export const RevokeBody = strict({
  reason: Type.String({ minLength: 1, maxLength: 256 }),
  serial: Type.Optional(
    Type.String({ pattern: "^[0-9a-f]{1,64}$", description: "One certificate; all without it" }),
  ),
  code: Type.Optional(RevocationReasonText),
});

export const DeviceUpdateView = view("DeviceUpdate", {
  updateId: Uuid,
  rolloutId: Uuid,
  rolloutName: Type.String(),
  state: Type.String(),
  progress: nullable(Type.Number()),
  waitingFor: nullable(
    Type.Object(
      { element: Type.String(), message: Type.String() },
      { description: "What the device waits for before it goes on" },
    ),
  ),
  sourceVersion: nullable(Type.String()),
  targetVersion: Type.String(),
  format: nullable(Type.String()),
  bytesDownloaded: Type.Integer(),
  bytesFull: Type.Integer(),
  failure: Type.Unknown(),
  offeredAt: nullable(Timestamp),
  finishedAt: nullable(Timestamp),
});
export const DeviceUpdateList = listOf("DeviceUpdateList", DeviceUpdateView);

export const DeviceEventView = view("DeviceEvent", {
  ts: Type.Number({ description: "Milliseconds since the epoch" }),
  type: Type.String(),
  details: Type.Record(Type.String(), Type.Unknown()),
});
export const DeviceEventList = listOf("DeviceEventList", DeviceEventView);

export const TimelinePage = page(
  "DeviceTimeline",
  view("TimelineEntry", {
    at: Timestamp,
    id: Type.String(),
    kind: Type.String({
      description: "health, firmware, incident, alert-raised, alert-resolved",
    }),
    details: Type.Record(Type.String(), Type.Unknown()),
  }),
);

const TimeOfDay = Type.String({ pattern: "^([01]\\d|2[0-3]):[0-5]\\d$", description: "UTC" });
const SleepWindow = strict({ from: TimeOfDay, to: TimeOfDay });
const presenceRule = {
  product: Word,
  heartbeatIntervalSeconds: Type.Integer({ minimum: 1, maximum: 86_400 }),
  offlineAfterMissed: Type.Integer({ minimum: 2, maximum: 1_000 }),
};
export const PresenceRuleBody = strict({
  ...presenceRule,
  sleep: Type.Optional(
    Type.Array(SleepWindow, {
      maxItems: 8,
      description: "When its devices sleep every day; no silence counts then",
    }),
  ),
});
export const PresenceRuleList = listOf(
  "PresenceRuleList",
  view("PresenceRule", {
    ...presenceRule,
    sleep: Type.Array(SleepWindow),
    updatedAt: Timestamp,
    updatedBy: Type.String(),
  }),
);

export const SeriesView = view("TelemetrySeries", {
  metric: Type.String(),
  unit: Type.String({ description: "As the device's product declares it; else empty" }),
  description: Type.String(),
  points: Type.Array(
    view("TelemetryPoint", {
      ts: Type.Number(),
      min: Type.Number(),
      max: Type.Number(),
      mean: Type.Number(),
      count: Type.Integer(),
    }),
  ),
  source: Type.Enum(["raw", "1m", "1h", "1d"] as const, {
    description: "What was read: points, or their rollups by the minute, the hour or the day",
  }),
  stepMs: nullable(Type.Integer({ description: "Width of a bucket of rollups; null: of points" })),
  kept: view("MetricKeptDays", {
    points: Type.Integer({ description: "For how many days points are kept" }),
    minutes: Type.Integer({ description: "Their rollups by the minute" }),
    hours: Type.Integer(),
    days: Type.Integer(),
  }),
});
export const LatestMetrics = listOf(
  "LatestMetrics",
  view("LatestMetric", {
    ...{ metric: Type.String(), ts: Type.Number(), value: Type.Number() },
    unit: Type.String({ description: "As the device's product declares it; else empty" }),
    description: Type.String(),
  }),
);

export const FleetHealth = listOf(
  "FleetHealth",
  view("FleetHealthRow", {
    key: Type.String(),
    total: Type.Integer(),
    online: Type.Integer(),
    late: Type.Integer(),
    offline: Type.Integer(),
    never: Type.Integer(),
    healthy: Type.Integer(),
    degraded: Type.Integer(),
    failing: Type.Integer(),
    crashes24h: Type.Integer(),
  }),
);
export const FleetSummary = view("FleetSummary", {
  total: Type.Integer(),
  online: Type.Integer(),
  late: Type.Integer(),
  offline: Type.Integer(),
  never: Type.Integer(),
  healthy: Type.Integer(),
  degraded: Type.Integer(),
  failing: Type.Integer(),
  crashes24h: Type.Integer(),
  openAlerts: Type.Integer({ description: "Not resolved, and not muted by a silence or the like" }),
  runningRollouts: Type.Integer(),
});

export const GroupView = view("Group", {
  name: Type.String(),
  query: Type.String(),
  createdAt: Timestamp,
});
export const GroupList = listOf("GroupList", GroupView);
export const CreateGroupBody = strict({ name: Name, query: FleetQueryText });
