import type { IPublishPacket } from "mqtt-packet";
import { type AppError, isAppError, sleep } from "../../kernel/index.ts";
import {
  type DevicePublish,
  mayPublish,
  parseDevicePublish,
  topicPrefix,
} from "../../protocol/index.ts";
import type { Connection } from "../connection.ts";
import { countMessage, publishesIn, shedTotal } from "../gateway-metrics.ts";
import { type InboundMessage, isTakenInQuarantine, isUnordered } from "../message-router.ts";
import { passedMessage } from "../passed-properties.ts";
import { plainPuback } from "../publish-codec.ts";
import { ConnectionFault, REASON, type ReasonCode } from "../reason-codes.ts";
import { foreign } from "../refusals.ts";

const FIRST_RETRY_MS = 250;
/** Tries with an error that nobody expected: one may be bad luck. */
const UNEXPECTED_TRIES = 2;

/**
 * Takes a message: acknowledged when, and only when, what it carried is durable. While a store is
 * away it waits for a bounded time; then the device is sent away without an acknowledgement, keeps
 * the message, and brings it again.
 */
export function handlePublish(
  connection: Connection,
  asSent: IPublishPacket,
  sizeBytes: number,
): void {
  checkPublish(asSent);
  const { inbound } = connection;
  const topic = inbound.aliases.resolve(asSent.topic, asSent.properties?.topicAlias);
  const packet = topic === asSent.topic ? asSent : { ...asSent, topic };
  const { qos } = packet;
  const messageId = packet.messageId ?? 0;
  const known = qos === 2 ? inbound.unreleased.get(messageId) : undefined;
  if (known) {
    // MQTT 5.0 §4.3.3 [MQTT-4.3.3-10]: known already, so only acknowledged; while it is being
    // stored its PUBREC is still to come.
    if (known === "stored") {
      connection.send({ cmd: "pubrec", messageId, reasonCode: REASON.success });
    }
    return;
  }
  publishesIn[qos].inc();
  if (!inbound.enter(sizeBytes, qos)) return;
  if (qos === 2) inbound.unreleased.set(messageId, "storing");
  const acknowledge =
    qos === 0 ? undefined : inbound.acks.reserve(connection.context.deps.clock.now());
  void settle(connection, packet).then((outcome) => {
    inbound.leave(sizeBytes, qos);
    if (outcome === "away" && qos === 0) {
      // MQTT 5.0 §4.3.1: nobody brings it again, and nothing is gained by ending the connection.
      shedTotal.inc({ reason: "stores-away" });
      return;
    }
    if (outcome === "away") {
      connection.fail(new ConnectionFault(REASON.serverBusy, "a store is not available"));
      return;
    }
    const finish = () => {
      if (outcome === REASON.success) passOn(connection, packet);
      acknowledge?.(() => sendAcknowledgement(connection, packet, outcome));
    };
    if (qos < 2) {
      finish();
      return;
    }
    keepIdentifier(connection, messageId, outcome === REASON.success);
    // With the identifier on record a later connection does not take the message again.
    void connection.session.save().then((isSaved) => isSaved && finish());
  });
}

/** What is durable goes to those who listen: the device itself, and its tenant's applications. */
function passOn(connection: Connection, packet: IPublishPacket): void {
  const { peer, context, deliveries } = connection;
  const now = context.deps.clock.now();
  deliveries.own.echo(packet, now);
  context.fanOut.offer(peer.tenantId, packet, now);
}

/** MQTT 5.0 §4.3.3 [MQTT-4.3.3-9]: a message that MQTT 5 refuses has no release to wait for. */
function keepIdentifier(connection: Connection, messageId: number, isTaken: boolean): void {
  const { unreleased } = connection.inbound;
  if (!isTaken && connection.version === 5) unreleased.delete(messageId);
  else unreleased.set(messageId, "stored");
}

/** What the protocol forbids ends the connection. */
function checkPublish(packet: IPublishPacket): void {
  const { properties = {}, topic, qos } = packet;
  // MQTT 5.0 §3.3.2.1 [MQTT-3.3.2-2]: a topic name has no wildcards.
  if (/[+#\0]/.test(topic)) {
    throw new ConnectionFault(REASON.topicNameInvalid, "no topic name");
  }
  // MQTT 5.0 §3.3.1.1 [MQTT-3.3.1-2]: what is sent once at most is never sent again.
  if (qos === 0 && packet.dup) throw new ConnectionFault(REASON.malformedPacket, "DUP with QoS 0");
  // MQTT 5.0 §3.3.2.3.5 [MQTT-3.3.2-14]: a response topic has none either.
  if (properties.responseTopic !== undefined && /[+#]/.test(properties.responseTopic)) {
    throw new ConnectionFault(REASON.protocolError, "a wildcard in the response topic");
  }
  // MQTT 5.0 §3.3.4 [MQTT-3.3.4-6]: subscription identifiers come from the server only.
  if (properties.subscriptionIdentifier !== undefined) {
    throw new ConnectionFault(REASON.protocolError, "a subscription identifier from a device");
  }
  // MQTT 5.0 §2.2.1 [MQTT-2.2.1-3]: an identifier above zero.
  if (qos > 0 && !((packet.messageId ?? 0) > 0)) {
    throw new ConnectionFault(REASON.protocolError, "no packet identifier");
  }
}

/** What became of a message; `away` when there must be no acknowledgement. */
type Outcome = ReasonCode | "away" | "internal" | "quarantined";

function settle(connection: Connection, packet: IPublishPacket): Promise<Outcome> {
  const { context, inbound, peer } = connection;
  const publish = ownPublish(connection, packet);
  if (!publish) {
    countMessage("unknown", "refused");
    return Promise.resolve(REASON.notAuthorized);
  }
  if (connection.isQuarantined && !isTakenInQuarantine(publish)) {
    countMessage(publish.kind, "quarantined");
    return Promise.resolve("quarantined");
  }
  const { properties = {} } = packet;
  const message: InboundMessage = {
    peer,
    publish,
    payload: packet.payload as Buffer,
    contentType: typeof properties.contentType === "string" ? properties.contentType : undefined,
    traceparent: textProperty(properties.userProperties?.traceparent),
    receivedAt: context.deps.clock.now(),
    reply: (suffix, body) => connection.deliveries.reply(suffix, body),
    resendDesired: () => connection.deliveries.resendDesired(),
    traffic: connection.traffic,
  };
  const store = () => storePatiently(connection, message, packet);
  return isUnordered(publish) ? store() : inbound.inOrder(store);
}

/** What is published, if the topics that it names are the device's own. */
function ownPublish(connection: Connection, packet: IPublishPacket): DevicePublish | undefined {
  const { peer, context } = connection;
  const response = packet.properties?.responseTopic;
  const { lastTopic } = connection.inbound;
  if (response === undefined && lastTopic?.topic === packet.topic) return lastTopic.publish;
  const prefix = topicPrefix(peer);
  const foreignResponse = response !== undefined && !String(response).startsWith(prefix);
  if (mayPublish(peer, packet.topic) && !foreignResponse) {
    const publish = parseDevicePublish(packet.topic.slice(prefix.length));
    if (publish) connection.inbound.lastTopic = { topic: packet.topic, publish };
    return publish;
  }
  const topic = foreignResponse ? String(response) : packet.topic;
  const target = { kind: "topic", id: topic };
  context.refusals.record(peer, "mqtt.publish", target, foreign("topic", peer, topic));
  return undefined;
}

async function storePatiently(
  connection: Connection,
  message: InboundMessage,
  packet: IPublishPacket,
): Promise<ReasonCode | "away" | "internal"> {
  const { router, retained, deps, limits } = connection.context;
  const deadline = message.receivedAt + limits.storePatienceMs;
  for (let attempt = 1, delayMs = FIRST_RETRY_MS; ; attempt += 1, delayMs *= 2) {
    // Who has gone brings it again; to store it now would be work for nothing.
    if (connection.isClosed && attempt > 1) return counted(message, "away");
    try {
      // An empty message that clears what was retained says nothing else (MQTT 5.0 §3.3.1.3).
      if (!packet.retain || packet.payload.length > 0) await router.route(message);
      if (packet.retain) {
        await retained.keep(message.peer, passedMessage(packet, message.receivedAt));
      }
      return counted(message, REASON.success);
    } catch (error) {
      if (isAppError(error) && error.code !== "unavailable") {
        return counted(message, refusalReason(error));
      }
      if (!isAppError(error)) {
        deps.logger.error({ err: error, kind: message.publish.kind }, "a message was not stored");
        if (attempt >= UNEXPECTED_TRIES) return counted(message, "internal");
      }
      if (deps.clock.now() + delayMs > deadline) return counted(message, "away");
      await sleep(deps.clock, delayMs);
    }
  }
}

function counted<Result extends Outcome>({ publish }: InboundMessage, outcome: Result): Result {
  countMessage(publish.kind, outcomeName(outcome));
  return outcome;
}

function refusalReason(error: AppError): ReasonCode {
  switch (error.code) {
    case "not-found":
    case "topic-refused":
      return REASON.topicNameInvalid;
    case "quota-exceeded":
    case "rate-limited":
      return REASON.quotaExceeded;
    default:
      return REASON.payloadFormatInvalid;
  }
}

function sendAcknowledgement(
  connection: Connection,
  packet: IPublishPacket,
  outcome: Exclude<Outcome, "away">,
): void {
  const { version } = connection;
  const messageId = packet.messageId ?? 0;
  if (outcome === REASON.success && packet.qos === 1) {
    connection.sendBytes(plainPuback(messageId));
    return;
  }
  const cmd = packet.qos === 2 ? "pubrec" : "puback";
  if (version === 5) {
    connection.send({ cmd, messageId, ...reasonOf(connection, outcome) });
  } else if (outcome === REASON.notAuthorized || outcome === REASON.topicNameInvalid) {
    // MQTT 3.1.1 §3.3.5: without a word for refusal, a topic that is not allowed ends it.
    connection.fail(new ConnectionFault(REASON.notAuthorized, "the topic is not this device's"));
  } else if (outcome === "internal") {
    connection.fail(new ConnectionFault(REASON.serverBusy, "an error of the platform"));
  } else {
    // A payload that nothing can be made of would come again for ever: it is taken and counted. So
    // is what a device in quarantine sends: it must stay connected to be put right.
    connection.send({ cmd, messageId });
  }
}

function reasonOf(connection: Connection, outcome: Exclude<Outcome, "away">) {
  if (outcome === "internal") return { reasonCode: 0x80 };
  if (outcome !== "quarantined") return { reasonCode: outcome };
  const properties = connection.reasonString("the device is in quarantine");
  return { reasonCode: REASON.notAuthorized, ...(properties ? { properties } : {}) };
}

function outcomeName(outcome: Outcome): string {
  if (outcome === REASON.success) return "stored";
  return typeof outcome === "string" ? outcome : "refused";
}

function textProperty(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
