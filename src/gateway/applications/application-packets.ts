import type { IDisconnectPacket, ISubscribePacket, ISubscription, Packet } from "mqtt-packet";
import { messageOf } from "../../kernel/index.ts";
import { filterMatches } from "../exchange/topics.ts";
import { MAX_STRAYS } from "../outbound.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";
import { readFilter } from "./access.ts";
import type { Application } from "./application.ts";
import { handlePublish } from "./application-publish.ts";

/** MQTT 3.1.1 §3.9.3: its only word for a filter that is refused. */
const FAILURE_3_1_1 = 0x80;

/** Handles one packet of an accepted application; throws ConnectionFault to end it. */
export function handleApplicationPacket(application: Application, packet: Packet): void {
  const { messageId = 0 } = packet;
  switch (packet.cmd) {
    case "publish":
      handlePublish(application, packet);
      break;
    case "subscribe":
      handleSubscribe(application, packet);
      break;
    case "unsubscribe": {
      const granted = packet.unsubscriptions.map((asked) =>
        application.subscriptions.delete(asked) ? REASON.success : REASON.noSubscriptionExisted,
      );
      void application.save().then((isSaved) => {
        if (isSaved) application.send({ cmd: "unsuback", messageId, granted });
      });
      break;
    }
    case "puback":
      application.outbound.acknowledge(messageId, packet.reasonCode ?? 0);
      application.drain();
      break;
    case "pubrec":
      handlePubrec(application, messageId, packet.reasonCode ?? 0);
      break;
    case "pubcomp":
      application.outbound.complete(messageId);
      application.drain();
      break;
    case "pubrel":
      handlePubrel(application, messageId);
      break;
    case "pingreq":
      application.send({ cmd: "pingresp" });
      break;
    case "disconnect":
      handleDisconnect(application, packet);
      break;
    default:
      // MQTT 5.0 §3.1 [MQTT-3.1.0-2], §4.12 [MQTT-4.12.0-6], §2.1.2.
      throw new ConnectionFault(REASON.protocolError, `${packet.cmd} is not expected here`);
  }
}

function handlePubrec(application: Application, messageId: number, code: number): void {
  const next = application.outbound.receive(messageId, code);
  if (next === "done") {
    application.drain();
    return;
  }
  const reasonCode = next === "release" ? REASON.success : REASON.packetIdentifierNotFound;
  // With the release on record a later connection sends it again, and not the message.
  void application.save().then((isSaved) => {
    if (isSaved) application.send({ cmd: "pubrel", messageId, reasonCode });
  });
}

function handlePubrel(application: Application, messageId: number): void {
  const isKnown = application.unreleased.delete(messageId);
  if (!isKnown && application.countStray() > MAX_STRAYS) {
    throw new ConnectionFault(REASON.protocolError, "too many releases of nothing");
  }
  const reasonCode = isKnown ? REASON.success : REASON.packetIdentifierNotFound;
  // Were the identifier still on record, the next message under it would be lost.
  void application.save().then((isSaved) => {
    if (isSaved) application.send({ cmd: "pubcomp", messageId, reasonCode });
  });
}

/** MQTT 5.0 §3.14.4 [MQTT-3.14.4-3]: only code 0x00 takes the will along. */
function handleDisconnect(application: Application, packet: IDisconnectPacket): void {
  const expiry = packet.properties?.sessionExpiryInterval;
  if (expiry !== undefined) application.changeExpiry(expiry);
  application.close((packet.reasonCode ?? 0) === 0);
}

function handleSubscribe(application: Application, packet: ISubscribePacket): void {
  const { subscriptions, messageId = 0, properties = {} } = packet;
  // MQTT 5.0 §3.8.3 [MQTT-3.8.3-2].
  if (subscriptions.length === 0 || messageId <= 0) {
    throw new ConnectionFault(REASON.protocolError, "SUBSCRIBE without filter or identifier");
  }
  const { subscriptionIdentifier: identifier } = properties;
  // MQTT 5.0 §3.8.2.1.2: neither zero nor twice.
  if (identifier !== undefined && !(typeof identifier === "number" && identifier > 0)) {
    throw new ConnectionFault(REASON.protocolError, "the subscription identifier is not valid");
  }
  const wanted = subscriptions.filter(
    // MQTT 5.0 §3.3.1.3 [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]: Retain Handling.
    ({ topic, rh = 0 }) => rh === 0 || (rh === 1 && !application.subscriptions.has(topic)),
  );
  const granted = subscriptions.map((asked) => grant(application, asked, identifier));
  void application.save().then((isSaved) => {
    if (!isSaved) return;
    application.send({ cmd: "suback", messageId, granted });
    sendRetained(application, wanted, identifier).catch((error) => {
      const { logger } = application.context.deps;
      logger.warn({ error: messageOf(error) }, "retained messages could not be read");
    });
  });
}

/** What is retained for new subscriptions; RETAIN is 1 on it (MQTT 5.0 [MQTT-3.3.1-8]). */
async function sendRetained(
  application: Application,
  wanted: readonly ISubscription[],
  identifier: number | undefined,
): Promise<void> {
  const { exchange } = application.context;
  const identifiers = identifier === undefined ? [] : [identifier];
  for (const { topic: filter, qos } of wanted) {
    const listening = application.subscriptions.get(filter);
    // MQTT 5.0 §4.8.2: a shared subscription is brought none.
    if (!exchange || !listening || listening.group !== undefined) continue;
    for (const message of await exchange.retained(listening.tenantId)) {
      if (!filterMatches(filter, message.topic)) continue;
      const least = Math.min(message.qos, qos) as 0 | 1 | 2;
      application.deliver(message, { qos: least, identifiers, retain: true });
    }
  }
}

function grant(
  application: Application,
  { topic, qos, nl = false, rap = false }: ISubscription,
  identifier: number | undefined,
): number {
  const { subscriptions, session, context } = application;
  const refuse = (reason: number) => (session.version === 5 ? reason : FAILURE_3_1_1);
  const asked = readFilter(session.principal, topic);
  if (asked === "invalid") return refuse(REASON.topicFilterInvalid);
  if (asked === "not-authorized") return refuse(REASON.notAuthorized);
  if (asked.group !== undefined && nl) {
    // MQTT 5.0 §3.8.3.1 [MQTT-3.8.3-4]: No Local has no meaning on a shared subscription.
    throw new ConnectionFault(REASON.protocolError, "No Local on a shared subscription");
  }
  if (!subscriptions.has(topic) && subscriptions.size >= context.limits.subscriptions) {
    return refuse(REASON.quotaExceeded);
  }
  subscriptions.set(topic, { ...asked, qos, identifier, noLocal: nl, retainAsPublished: rap });
  context.hub.join(asked.tenantId, application);
  return qos;
}
