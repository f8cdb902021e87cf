import type { ISubscribePacket, ISubscription } from "mqtt-packet";
import { deviceTopic, isTopicFilter, maySubscribe } from "../../protocol/index.ts";
import type { Connection } from "../connection.ts";
import { limitsTotal } from "../gateway-metrics.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";
import { foreign } from "../refusals.ts";
import { mayHearOwn } from "../subscriptions.ts";

/** MQTT 3.1.1 §3.9.3: its only word for a filter that is refused. */
const FAILURE_3_1_1 = 0x80;

/** Grants what lies below the device's own prefix, and sends what waits there. */
export function handleSubscribe(connection: Connection, packet: ISubscribePacket): void {
  const { subscriptions: asked, messageId = 0 } = packet;
  // MQTT 5.0 §3.8.3 [MQTT-3.8.3-2], §2.2.1 [MQTT-2.2.1-3].
  if (asked.length === 0 || messageId <= 0) {
    throw new ConnectionFault(REASON.protocolError, "SUBSCRIBE without filter or identifier");
  }
  const identifier = packet.properties?.subscriptionIdentifier;
  // MQTT 5.0 §3.8.2.1.2: neither zero nor twice.
  if (identifier !== undefined && !(typeof identifier === "number" && identifier > 0)) {
    throw new ConnectionFault(REASON.protocolError, "the subscription identifier is not valid");
  }
  const wanted = asked.filter((subscription) => wantsRetained(connection, subscription));
  const granted = asked.map((subscription) => grant(connection, subscription, identifier));
  connection.subscriptions.review(connection.peer);
  // MQTT 5.0 §3.8.4 [MQTT-3.8.4-6]: one code for each filter, in their order.
  void connection.session.save().then((isSaved) => {
    if (!isSaved) return;
    connection.send({ cmd: "suback", messageId, granted });
    wakeDeliveries(connection);
    connection.deliveries.sendRetained(
      wanted
        .filter(({ topic }) => connection.subscriptions.has(topic))
        .map(({ topic, qos }) => ({ filter: topic, qos, identifier })),
    );
  });
}

/** MQTT 5.0 §3.3.1.3 [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]: Retain Handling. */
function wantsRetained(connection: Connection, { topic, rh = 0 }: ISubscription): boolean {
  if (!mayHearOwn(connection.peer, topic)) return false;
  return rh === 0 || (rh === 1 && !connection.subscriptions.has(topic));
}

/** Looks for what waits where the device listens. */
export function wakeDeliveries(connection: Connection): void {
  for (const [suffix, kind] of [
    ["commands", "command"],
    ["update", "update"],
    ["trust", "trust"],
    ["desired", "twin"],
    ["certificate/authorities", "authorities"],
  ] as const) {
    if (connection.subscriptions.match(deviceTopic(connection.peer, suffix))) {
      connection.deliveries.wake(kind);
    }
  }
}

function grant(
  connection: Connection,
  { topic, qos, nl: noLocal = false, rap: retainAsPublished = false }: ISubscription,
  identifier: number | undefined,
): number {
  const { peer, subscriptions, context, version } = connection;
  const refuse = (reason: number) => (version === 5 ? reason : FAILURE_3_1_1);
  if (!maySubscribe(peer, topic)) {
    const target = { kind: "topic", id: topic };
    context.refusals.record(peer, "mqtt.subscribe", target, foreign("filter", peer, topic));
    // MQTT 5.0 §3.8.3: the nearest of the reasons.
    if (topic.startsWith("$share/")) return refuse(REASON.sharedSubscriptionsNotSupported);
    return refuse(isTopicFilter(topic) ? REASON.notAuthorized : REASON.topicFilterInvalid);
  }
  if (topic.split("/").length > context.limits.topicLevels) {
    limitsTotal.inc({ limit: "topic-levels" });
    return refuse(REASON.topicFilterInvalid);
  }
  // MQTT 5.0 §3.8.4 [MQTT-3.8.4-8]: what the platform sends goes out with the QoS asked for.
  const isAdded = subscriptions.add(topic, { qos, identifier, noLocal, retainAsPublished });
  if (isAdded) return qos;
  limitsTotal.inc({ limit: "subscriptions" });
  return refuse(REASON.quotaExceeded);
}
