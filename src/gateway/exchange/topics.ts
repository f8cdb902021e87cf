import { isTenantId, topicMatches } from "../../protocol/index.ts";

/** Below it a tenant's applications tell one another what they like: `tenants/<tenant>/exchange/…`. */
const EXCHANGE = "exchange";
const MAX_TOPIC_LENGTH = 1_024;

/** The tenant whose applications a topic name belongs to; undefined where it is none of theirs. */
export function exchangeTenant(topic: string): string | undefined {
  const [tenants, tenantId, exchange, ...rest] = topic.split("/");
  const isExchange = tenants === "tenants" && exchange === EXCHANGE && rest.length > 0;
  if (!isExchange || topic.length > MAX_TOPIC_LENGTH || !isTenantId(tenantId)) return undefined;
  return /[+#\0]/.test(topic) ? undefined : tenantId;
}

/**
 * Whether a filter matches a topic. What applications tell one another is a tree of its own: MQTT 5.0
 * §4.7.2 [MQTT-4.7.2-1] holds where it begins, and a wildcard there matches no `$…`.
 */
export function filterMatches(filter: string, topic: string): boolean {
  const root = EXCHANGE_ROOT.exec(topic)?.[0];
  if (root === undefined || !filter.startsWith(root)) return topicMatches(filter, topic);
  return topicMatches(filter.slice(root.length), topic.slice(root.length));
}

const EXCHANGE_ROOT = /^tenants\/[^/]+\/exchange\//;
