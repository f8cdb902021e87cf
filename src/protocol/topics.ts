import { type DeviceIdentity, isDeviceId, isTenantId } from "./identity.ts";

/** What a device may publish, below `tenants/<tenant>/devices/<device>/`. */
export const DEVICE_PUBLISHES = [
  "telemetry",
  "heartbeat",
  "logs",
  "events",
  "commands/+/result",
  "update/state",
  "reported",
  "certificate/request",
  "certificate/confirm",
] as const;

/** What the platform sends there. */
export const PLATFORM_PUBLISHES = [
  "commands",
  "update",
  "trust",
  "desired",
  "errors",
  "certificate/response",
  "certificate/authorities",
] as const;

export function topicPrefix(identity: DeviceIdentity): string {
  return `tenants/${identity.tenantId}/devices/${identity.deviceId}/`;
}

export function deviceTopic(identity: DeviceIdentity, suffix: string): string {
  return topicPrefix(identity) + suffix;
}

export interface DeviceTopic extends DeviceIdentity {
  /** What follows the device's prefix, e.g. `commands/<id>/result`. */
  suffix: string;
}

/** The parts of a topic name (no wildcards), or undefined where it is not a device's topic. */
export function parseDeviceTopic(topic: string): DeviceTopic | undefined {
  const levels = topic.split("/");
  const [tenants, tenantId, devices, deviceId] = levels;
  if (tenants !== "tenants" || devices !== "devices" || levels.length < 5) return undefined;
  if (!isTenantId(tenantId) || !isDeviceId(deviceId)) return undefined;
  return { tenantId, deviceId, suffix: levels.slice(4).join("/") };
}

/** A publish that the platform understands, told from the suffix of its topic. */
export type DevicePublish =
  | { kind: "telemetry" | "heartbeat" | "logs" | "events" | "update-state" | "reported" }
  | { kind: "command-result"; commandId: string }
  | { kind: "certificate-request" | "certificate-confirm" };

const COMMAND_RESULT = /^commands\/([^/+#]{1,64})\/result$/;

export function parseDevicePublish(suffix: string): DevicePublish | undefined {
  switch (suffix) {
    case "telemetry":
    case "heartbeat":
    case "logs":
    case "events":
    case "reported":
      return { kind: suffix };
    case "update/state":
      return { kind: "update-state" };
    case "certificate/request":
      return { kind: "certificate-request" };
    case "certificate/confirm":
      return { kind: "certificate-confirm" };
    default: {
      const commandId = COMMAND_RESULT.exec(suffix)?.[1];
      return commandId ? { kind: "command-result", commandId } : undefined;
    }
  }
}

/** What a device may do: everything that is its own, or renew its certificate and nothing else. */
export type Access = "full" | "renewal";

/** Of whom it is asked; without a word about access it is full. */
type Client = DeviceIdentity & { access?: Access };

/** Whether a topic, by its suffix, is open to a device of this access. */
export function isOpen(access: Access | undefined, suffix: string): boolean {
  return access !== "renewal" || suffix.startsWith("certificate/");
}

/**
 * Whether a device may subscribe to `filter`: it must lie wholly below the device's own prefix, so
 * that no wildcard can reach further. `$share` and `$SYS` never do. With restricted access it may
 * bring nothing that is closed.
 */
export function maySubscribe(client: Client, filter: string): boolean {
  const prefix = topicPrefix(client);
  if (!filter.startsWith(prefix) || !isTopicFilter(filter)) return false;
  return PLATFORM_PUBLISHES.every(
    (suffix) => isOpen(client.access, suffix) || !topicMatches(filter, prefix + suffix),
  );
}

/** Whether a device may publish to `topic`; the decision is by the certificate's identity alone. */
export function mayPublish(client: Client, topic: string): boolean {
  const prefix = topicPrefix(client);
  if (!topic.startsWith(prefix)) return false;
  const suffix = topic.slice(prefix.length);
  return isOpen(client.access, suffix) && parseDevicePublish(suffix) !== undefined;
}

/** MQTT 5.0 §4.7.1: `#` only as the last level, `+` only as a whole level, no NUL. */
export function isTopicFilter(filter: string): boolean {
  if (filter.length === 0 || filter.length > 1024 || filter.includes("\0")) return false;
  const levels = filter.split("/");
  return levels.every((level, index) => {
    if (level.includes("#")) return level === "#" && index === levels.length - 1;
    return !level.includes("+") || level === "+";
  });
}

/** Whether `topic` matches `filter` (MQTT 5.0 §4.7). */
export function topicMatches(filter: string, topic: string): boolean {
  const filterLevels = filter.split("/");
  const topicLevels = topic.split("/");
  // MQTT 5.0 §4.7.2: a leading wildcard does not match topics that start with `$`.
  if (topic.startsWith("$") && /^[+#]/.test(filter)) return false;
  for (let index = 0; index < filterLevels.length; index += 1) {
    if (filterLevels[index] === "#") return true;
    if (index >= topicLevels.length) return false;
    if (filterLevels[index] !== "+" && filterLevels[index] !== topicLevels[index]) return false;
  }
  return filterLevels.length === topicLevels.length;
}
