import { isTopicFilter, parseDeviceTopic } from "../../protocol/index.ts";
import { holds, type Permission, type Principal, roleIn } from "../../tenancy/index.ts";
import { exchangeTenant } from "../exchange/topics.ts";

/** The permission that a device's topic asks for; what is not named here is nobody's to read. */
function permissionFor(suffix: string): Permission | undefined {
  switch (suffix) {
    case "telemetry":
      return "telemetry.read";
    case "logs":
      return "logs.read";
    case "heartbeat":
    case "events":
    case "reported":
    case "update/state":
      return "devices.read";
    default:
      return /^commands\/[^/]+\/result$/.test(suffix) ? "commands.read" : undefined;
  }
}

/** Whether an application may be brought a message of this topic, at the moment that it is sent. */
export function mayHear(principal: Principal, topic: string): boolean {
  const exchange = exchangeTenant(topic);
  if (exchange !== undefined) return holds(principal, exchange, "exchange.read");
  const parsed = parseDeviceTopic(topic);
  const permission = parsed && permissionFor(parsed.suffix);
  return permission !== undefined && holds(principal, parsed?.tenantId ?? "", permission);
}

/** The tenant to whose applications a topic speaks, if this one may. */
export function exchangeTarget(principal: Principal, topic: string): string | undefined {
  const tenantId = exchangeTenant(topic);
  if (tenantId === undefined) return undefined;
  return holds(principal, tenantId, "exchange.publish") ? tenantId : undefined;
}

/** The device to which an application gives an order by publishing to `topic`, if it may. */
export function commandTarget(
  principal: Principal,
  topic: string,
): { tenantId: string; deviceId: string } | undefined {
  const parsed = parseDeviceTopic(topic);
  if (parsed?.suffix !== "commands") return undefined;
  const { tenantId, deviceId } = parsed;
  return holds(principal, tenantId, "commands.send") ? { tenantId, deviceId } : undefined;
}

export interface Asked {
  /** Without the `$share/<group>/` in front. */
  filter: string;
  group: string | undefined;
  tenantId: string;
}

/**
 * What an application asks for with a filter. The tenant must stand there as it is: no wildcard
 * reaches into another one. Where the last levels name a topic it must be one that the role may
 * read; below a wildcard each message is judged when it is sent.
 */
export function readFilter(
  principal: Principal,
  asked: string,
): Asked | "not-authorized" | "invalid" {
  const shared = /^\$share\/([^/+#]+)\/(.+)$/s.exec(asked);
  // MQTT 5.0 §4.8.2 [MQTT-4.8.2-1], [MQTT-4.8.2-2]: a group of at least one character, and a filter.
  if (!shared && asked.startsWith("$share")) return "invalid";
  const filter = shared?.[2] ?? asked;
  if (!isTopicFilter(filter)) return "invalid";
  const [tenants, tenantId = "", devices, device, ...rest] = filter.split("/");
  if (tenants !== "tenants" || !roleIn(principal, tenantId)) return "not-authorized";
  const suffix = rest.join("/");
  const isNamed = devices === "devices" && device !== undefined && device !== "#" && suffix !== "";
  const isOpen = !isNamed || /[+#]/.test(suffix) || mayHear(principal, sample(tenantId, suffix));
  return isOpen ? { filter, group: shared?.[1], tenantId } : "not-authorized";
}

function sample(tenantId: string, suffix: string): string {
  return `tenants/${tenantId}/devices/any/${suffix}`;
}
