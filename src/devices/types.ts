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
  | `tags.${string}`;

export interface HealthRow {
  key: string;
  total: number;
  online: number;
  late: number;
  offline: number;
  never: number;
  crashes24h: number;
}

export interface DeviceGroup {
  name: string;
  query: string;
  createdAt: string;
}

/** How often a tenant's devices speak, and when their silence counts. */
export interface PresenceSettings {
  heartbeatIntervalSeconds: number;
  offlineAfterMissed: number;
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
