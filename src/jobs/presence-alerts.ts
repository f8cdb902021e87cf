/** What an alert of silence says, and when many silences are one. Pure. */

/** A device that went over to another presence. */
export interface PresenceChange {
  deviceId: string;
  presence: "never" | "online" | "late" | "offline";
  lastSeenAt: Date | null;
  /** Silence of a device that people have taken out of service is no news. */
  status: "active" | "quarantined" | "revoked";
}

/** How silent a tenant's fleet is. */
export interface Silence {
  /** Devices in service that went offline since the moment asked for, and are. */
  devices: number;
  /** Some of them, by name. */
  deviceIds: string[];
  /** Devices in service that have ever been heard. */
  known: number;
  /** Devices that have fallen silent since then, back or not. */
  fallen: number;
}

export interface AlertReport {
  key: string;
  kind: string;
  severity: "info" | "warning" | "critical";
  title: string;
  subjectKind: string;
  subjectId: string;
  details: Record<string, unknown>;
}

export const FLEET_KEY = "presence:fleet";
export const DEVICE_KIND = "device-offline";
export const FLEET_KIND = "devices-offline";
export const PLATFORM_KEY = "presence:platform";
export const PLATFORM_KIND = "platform-outage";

/** From so many devices on, and such a share of the fleet, the cause is a common one. */
const COMMON_CAUSE_DEVICES = 10;
const COMMON_CAUSE_SHARE = 0.02;
const LISTED_DEVICES = 100;
/** So few can be named one by one when the rest of a common failure is over, and such a share. */
export const MAX_NAMED = 100;
const STRAGGLERS_SHARE = 0.1;
/** A burst that would come by chance less often than this has a cause. */
const BURST_CHANCE = 1e-6;

export function presenceKey(deviceId: string): string {
  return `presence:${deviceId}`;
}

/** Whether so many went offline at about the same time that something common must have failed. */
export function isCommonCause({ devices, known }: Silence): boolean {
  return devices >= Math.max(COMMON_CAUSE_DEVICES, known * COMMON_CAUSE_SHARE);
}

/**
 * Whether devices that go offline within a few seconds are more than chance brings: long before they
 * are a share of the fleet, for a fleet that has lost the platform goes over a whole interval.
 */
export function isBurst(devices: number, usualInThatTime: number): boolean {
  if (devices < COMMON_CAUSE_DEVICES) return false;
  return poissonTail(devices, usualInThatTime) < BURST_CHANCE;
}

/** Probability of `count` or more events where `expected` are expected (Poisson). */
function poissonTail(count: number, expected: number): number {
  // Chernoff's bound is enough far out, and no sum of tiny terms: e^-λ (eλ/k)^k.
  if (expected <= 0) return 0;
  if (count <= expected) return 1;
  return Math.exp(count - expected + count * Math.log(expected / count));
}

/** Whether those who are still away from a common failure are few enough to be named one by one. */
export function isOver({ devices, fallen }: Silence): boolean {
  return devices <= Math.min(MAX_NAMED, fallen * STRAGGLERS_SHARE);
}

/** The platform's own failure, told once: of its devices nothing can be known meanwhile. */
export function platformAlert(gateways: readonly string[], devices: number): AlertReport {
  const names = [...gateways].sort().slice(0, 10).join(", ");
  const which = gateways.length === 1 ? `gateway ${names} does` : `gateways ${names} do`;
  return {
    key: PLATFORM_KEY,
    kind: PLATFORM_KIND,
    severity: "critical",
    title:
      `The ${which} not answer. Devices that were connected there are not judged until it is back ` +
      "(vautn doctor)",
    subjectKind: "platform",
    subjectId: "gateway",
    details: { gateways: [...gateways].sort(), devices },
  };
}

export function offlineAlert(device: { deviceId: string; lastSeenAt: Date | null }): AlertReport {
  const { deviceId, lastSeenAt } = device;
  const seen = lastSeenAt ? `was last heard at ${moment(lastSeenAt)}` : "was never heard";
  return {
    key: presenceKey(deviceId),
    kind: DEVICE_KIND,
    severity: "warning",
    title: `${deviceId} missed its heartbeats and ${seen}. See its last log lines: /devices/${deviceId}`,
    subjectKind: "device",
    subjectId: deviceId,
    details: { lastSeenAt: lastSeenAt?.toISOString() ?? null },
  };
}

/** One alert for them all; after a start of the platform it says that the platform may be the cause. */
export function fleetAlert(silence: Silence, platformStartedAt: Date | null): AlertReport {
  const { devices, deviceIds, known } = silence;
  const share = Math.round((100 * devices) / Math.max(1, known));
  const where = platformStartedAt
    ? `They have not come back since the platform started at ${moment(platformStartedAt)}: see ` +
      "whether the gateway's port is reached (vautn doctor)"
    : "Look for what they share, a network, a region or an update: /fleet";
  return {
    key: FLEET_KEY,
    kind: FLEET_KIND,
    severity: "critical",
    title: `${devices} of ${known} devices (${share} %) went offline at about the same time. ${where}`,
    subjectKind: "fleet",
    subjectId: "fleet",
    details: { devices: deviceIds.slice(0, LISTED_DEVICES), count: devices, known },
  };
}

function moment(at: Date): string {
  return `${at.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
