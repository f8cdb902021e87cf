import type { BootChain, Heartbeat, JsonObject } from "../protocol/index.ts";

export type Presence = "never" | "online" | "late" | "offline";
export type DeviceStatus = "active" | "quarantined" | "revoked";

/** A device as people see it; times are ISO 8601. */
export interface DeviceView {
  id: string;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, string>;
  status: DeviceStatus;
  presence: Presence;
  presenceChangedAt: string | null;
  health: Health;
  /** Why it is not quite healthy, the worst first; of a healthy one what else is worth knowing. */
  healthReasons: HealthReason[];
  healthChangedAt: string | null;
  /** Until when it has said that it sleeps. */
  asleepUntil: string | null;
  lastSeenAt: string | null;
  /** Whether a gateway holds a connection of it now. */
  connected: boolean;
  firmware: { version: string; sha256: string; slot: string } | null;
  /** The image in the other slot: what a rollback costs. */
  otherSlot: { version: string; sha256: string } | null;
  /** Artifact formats that its agent applies. */
  formats: string[];
  bootId: string | null;
  uptimeSeconds: number | null;
  metrics: Record<string, number>;
  /** What verified its present start, by its own word; null where nothing did, or it did not say. */
  bootChain: BootChain | null;
  /** How far its clock is behind ours, by its heartbeats; null before the first. */
  clockOffsetMs: number | null;
  createdAt: string;
}

export interface NewDevice {
  id: string;
  product: string;
  hardwareRevision: string;
  region?: string;
  tags?: Record<string, string>;
}

/** Changes to a device; tags that are given replace all tags. */
export interface DevicePatch {
  tags?: Record<string, string>;
  region?: string;
  status?: "active" | "quarantined";
}

/** A device as a rollout plans with it. */
export interface FleetMember {
  id: string;
  product: string;
  hardware_revision: string;
  region: string;
  tags: Record<string, string>;
  status: DeviceStatus;
  presence: Presence;
  connected: boolean;
  firmware_version: string | null;
  firmware_sha256: string | null;
  other_slot_version: string | null;
  other_slot_sha256: string | null;
  formats: string[];
  secure_boot: boolean;
  last_seen_at: Date | null;
}

export interface HeartbeatRecord {
  tenantId: string;
  deviceId: string;
  heartbeat: Heartbeat;
  receivedAt: number;
}

export const INCIDENT_KINDS = [
  "crash",
  "fallback",
  "self-test-failed",
  "silence",
  "restart",
] as const;
export type IncidentKind = (typeof INCIDENT_KINDS)[number];

export interface Incident {
  tenantId: string;
  deviceId: string;
  kind: IncidentKind;
  /** Names the incident on its device, so that redelivery counts once. */
  key: string;
  /** Milliseconds since the epoch, by the device's clock. */
  occurredAt: number;
  firmwareSha256: string | null;
  details: Record<string, unknown>;
  /** The boot in which the device told of it. */
  bootId?: string | null;
  /** A crash that the boot after it told of, and not the program that crashed. */
  toldByBoot?: boolean;
}

/** An incident as the evidence of rollouts takes it in. */
export interface UncountedIncident {
  deviceId: string;
  kind: IncidentKind;
  /** Milliseconds since the epoch, by the device's clock and by ours. */
  occurredAt: number;
  receivedAt: number;
  firmwareSha256: string | null;
}

export interface PresenceChange {
  deviceId: string;
  previous: Presence;
  presence: Presence;
  lastSeenAt: Date | null;
  /** The silence of a device that was revoked is no news. */
  status: DeviceStatus;
}

/** By what the health of a fleet is broken down. */
export type HealthDimension =
  | "firmware"
  | "hardware"
  | "product"
  | "region"
  | "presence"
  | "health"
  | "group"
  | `tags.${string}`;

export interface HealthRow {
  key: string;
  total: number;
  online: number;
  late: number;
  offline: number;
  never: number;
  healthy: number;
  degraded: number;
  failing: number;
  crashes24h: number;
}

/** Devices of two dimensions at once, by health. */
export interface MatrixCell {
  row: string;
  column: string;
  total: number;
  online: number;
  healthy: number;
  degraded: number;
  failing: number;
  offline: number;
  unknown: number;
}

/** How a part of the fleet fared at a moment. */
export interface FleetMoment {
  at: string;
  key: string;
  total: number;
  online: number;
  healthy: number;
  degraded: number;
  failing: number;
  offline: number;
}

/** Crashes that have their signature in common. */
export interface CrashGroup {
  signature: string;
  kind: string;
  count: number;
  devices: number;
  firmware: { version: string; count: number }[];
  firstSeenAt: string;
  lastSeenAt: string;
  /** The last of them. */
  example: { deviceId: string; details: Record<string, unknown> };
}

export interface DeviceGroup {
  name: string;
  query: string;
  createdAt: string;
}

/** How often devices speak, when they sleep, and when their silence counts. */
export interface PresenceRule {
  heartbeatIntervalSeconds: number;
  offlineAfterMissed: number;
  /** Times of day, UTC, in which they cannot be heard: `{from: "22:00", to: "06:00"}`. */
  sleep: readonly { from: string; to: string }[];
}

/** A tenant's own rule, and those of single products. */
export interface PresenceRules {
  usual: PresenceRule;
  products: ReadonlyMap<string, PresenceRule>;
}

/** A product's rule as people see it. */
export interface ProductPresence extends PresenceRule {
  product: string;
  updatedAt: string;
  updatedBy: string;
}

export type Health = "unknown" | "healthy" | "degraded" | "failing" | "offline";

/** Why a device is not, or not quite, healthy. */
export interface HealthReason {
  /** For machines: `silent`, `late`, `asleep`, `crash-loop`, `link-flapping` ... */
  code: string;
  message: string;
  since: string;
}

/** Something that has happened to a device. */
export interface TimelineEntry {
  at: string;
  id: string;
  /** `health`, `firmware`, `incident`, `alert-raised`, `alert-resolved`, `update`. */
  kind: string;
  details: Record<string, unknown>;
}

/** What a device ought to be and what it says that it is. */
export interface TwinView {
  desired: JsonObject;
  /** 0 before anybody has wanted anything. */
  desiredVersion: number;
  desiredAt: string | null;
  desiredBy: string | null;
  reported: JsonObject;
  reportedVersion: number;
  reportedAt: string | null;
  /** The desired version that the device lives by. */
  appliedVersion: number;
  /** Why it does not live by a newer one. */
  fault: { version: number; message: string } | null;
}
