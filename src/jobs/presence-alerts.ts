/** A device that went over to another presence. */
export interface PresenceChange {
  deviceId: string;
  presence: "never" | "online" | "late" | "offline";
  lastSeenAt: Date | null;
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

/** When this many devices of a tenant go offline in one pass, the cause is a common one. */
const COMMON_CAUSE_DEVICES = 10;

/**
 * The alerts for devices that have just gone offline: one each, or one for them all when they are so
 * many that something between them and the platform must have failed.
 */
export function alertsForOffline(changes: readonly PresenceChange[]): AlertReport[] {
  const offline = changes.filter((change) => change.presence === "offline");
  if (offline.length >= COMMON_CAUSE_DEVICES) {
    return [
      {
        key: "presence:fleet",
        kind: "devices-offline",
        severity: "critical",
        title: `${offline.length} devices went offline together`,
        subjectKind: "fleet",
        subjectId: "fleet",
        details: { devices: offline.slice(0, 100).map((change) => change.deviceId) },
      },
    ];
  }
  return offline.map((change) => ({
    key: presenceKey(change.deviceId),
    kind: "device-offline",
    severity: "warning",
    title: `${change.deviceId} missed its heartbeats`,
    subjectKind: "device",
    subjectId: change.deviceId,
    details: { lastSeenAt: change.lastSeenAt?.toISOString() ?? null },
  }));
}

export function presenceKey(deviceId: string): string {
  return `presence:${deviceId}`;
}
