/** Messages between roles. At most once, unordered across subjects: the stores hold the truth. */
export interface Bus {
  publish(subject: string, message: BusMessage): void;
  /** `pattern` may end in `.*` (one more level) or `.>` (any more). The result unsubscribes. */
  subscribe(pattern: string, handler: (message: BusMessage, subject: string) => void): () => void;
  /** Whether other machines are reached; absent where there are none. */
  isUplinkUp?: boolean;
  /** Whether it was left for a while since it brought what is not of this installation. */
  isUplinkFlooded?: boolean;
  close(): Promise<void>;
}

/** Plain JSON. */
export type BusMessage = Record<string, unknown>;

/** Subjects in use. Tenant and device ids hold no character that a subject gives a meaning to
 * except the full stop, which is written as `%2E`. */
export const subjects = {
  /** Something waits for this device: `{kind: "command" | "update" | "twin"}`. */
  device: (tenantId: string, deviceId: string) => `device.${token(tenantId)}.${token(deviceId)}`,
  /** Standings changed: `{tenantId, changes: [{kind, deviceId?, serial?}]}`, or a device is gone:
   * `{tenantId, deviceId}`. */
  revocation: (tenantId: string) => `revocation.${token(tenantId)}`,
  /** An authority is new or at its end; `_platform` for root and server: `{tenantId, kind}`. */
  authority: (tenantId: string) => `authority.${token(tenantId)}`,
  /** Something about a rollout changed: `{rolloutId}`. */
  rollout: (tenantId: string, rolloutId: string) => `rollout.${token(tenantId)}.${rolloutId}`,
  /** An alert was raised or resolved: `{alertId, state}`. */
  alert: (tenantId: string) => `alert.${token(tenantId)}`,
  /** A device changed presence, firmware or description: `{deviceId, presence?}`. */
  fleet: (tenantId: string) => `fleet.${token(tenantId)}`,
  /** Applications listen to the messages of this tenant's devices: `{}`, every few seconds. */
  interest: (tenantId: string) => `interest.${token(tenantId)}`,
  /** News of devices may have been lost between machines, there or here: `{}`. Never travels in a machine. */
  lost: "lost",
  /** A process wants every other one's metrics: `{askId}`, answered on `metricsAnswer`. */
  metricsWanted: "metrics.wanted",
  /** `{askId, metrics}`, as prom-client writes them in JSON. */
  metricsAnswer: "metrics.answer",
  /** An application has connected: `{clientKey, epoch}`; an older connection of it ends. */
  application: (tenantId: string) => `application.${token(tenantId)}`,
  /** A device's message for those applications: `{topic, payload, qos, properties, expiresAt}`. */
  message: (tenantId: string) => `message.${token(tenantId)}`,
} as const;

function token(id: string): string {
  return id.replaceAll(".", "%2E");
}

/** Whether `subject` falls under `pattern`. */
export function subjectMatches(pattern: string, subject: string): boolean {
  if (pattern === subject) return true;
  if (pattern.endsWith(".>")) return subject.startsWith(pattern.slice(0, -1));
  if (!pattern.endsWith(".*")) return false;
  const prefix = pattern.slice(0, -1);
  return subject.startsWith(prefix) && !subject.slice(prefix.length).includes(".");
}
