import type { IPublishPacket } from "mqtt-packet";
import { isAppError, sleep } from "../../kernel/index.ts";
import {
  type DevicePublish,
  mayPublish,
  parseDevicePublish,
  topicPrefix,
} from "../../protocol/index.ts";
import type { Connection } from "../connection.ts";
import type { Taken } from "../error-reports.ts";
import { countMessage, publishesIn, shedTotal } from "../gateway-metrics.ts";
import { type InboundMessage, isTakenInQuarantine, isUnordered } from "../message-router.ts";
import { passedMessage } from "../passed-properties.ts";
import { ConnectionFault, REASON, type ReasonCode } from "../reason-codes.ts";
import { foreign } from "../refusals.ts";
import { type Acknowledge, type Arrival, JointPublishes } from "./joint-publishes.ts";
import {
  type Outcome,
  outcomeName,
  passOn,
  refusalReason,
  sendAcknowledgement,
} from "./publish-outcome.ts";

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
  const receivedAt = connection.context.deps.clock.now();
  if (!inbound.enter(sizeBytes, qos, receivedAt)) return;
  const arrival = { packet, sizeBytes, receivedAt };
  const publish = ownPublish(connection, packet);
  const isTelemetry = publish?.kind === "telemetry" && qos < 2 && !packet.retain;
  if (isTelemetry && !connection.isQuarantined) takeTelemetry(connection, arrival, publish);
  else {
    if (qos === 2) inbound.unreleased.set(messageId, "storing");
    settleApart(connection, arrival, placeOf(connection, arrival), { publish });
  }
}

function placeOf({ inbound }: Connection, { packet, receivedAt }: Arrival): Acknowledge {
  return packet.qos === 0 ? undefined : inbound.acks.reserve(receivedAt);
}

/** Telemetry joins those of its connection that are durable with it, or goes its own way. */
function takeTelemetry(connection: Connection, arrival: Arrival, publish: DevicePublish): void {
  const { context, inbound, peer } = connection;
  let first: Promise<Taken>;
  try {
    const { packet, receivedAt } = arrival;
    const contentType = contentTypeOf(packet);
    const offered = context.router.offer(peer, packet.payload as Buffer, contentType, receivedAt);
    if (!(offered instanceof Promise)) {
      const { durable, taken } = offered;
      if (inbound.joint?.durable !== durable) {
        inbound.joint = new JointPublishes(connection, durable, (one, acknowledge) => {
          const failed = durable.then(() => taken);
          settleApart(connection, one, acknowledge, { publish, first: failed });
        });
      }
      inbound.joint.add(arrival, taken);
      return;
    }
    first = offered;
  } catch (error) {
    first = Promise.reject(error);
  }
  settleApart(connection, arrival, placeOf(connection, arrival), { publish, first });
}

interface Way {
  /** Undefined where the message is none of its device's. */
  publish: DevicePublish | undefined;
  /** What has been begun with it. */
  first?: Promise<Taken>;
}

/** Takes a message that has nothing to do with the others of its connection. */
function settleApart(
  connection: Connection,
  arrival: Arrival,
  acknowledge: Acknowledge,
  way: Way,
): void {
  const { inbound } = connection;
  const { packet, sizeBytes } = arrival;
  const { qos } = packet;
  void settle(connection, arrival, way).then((outcome) => {
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
    keepIdentifier(connection, packet.messageId ?? 0, outcome === REASON.success);
    // With the identifier on record a later connection does not take the message again.
    void connection.session.save().then((isSaved) => isSaved && finish());
  });
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

function settle(connection: Connection, arrival: Arrival, way: Way): Promise<Outcome> {
  const { inbound, peer } = connection;
  const { packet, receivedAt } = arrival;
  const { publish, first } = way;
  if (!publish) {
    countMessage("unknown", "refused");
    return Promise.resolve(REASON.notAuthorized);
  }
  if (connection.isQuarantined && !isTakenInQuarantine(publish)) {
    // What has been begun is finished, and is nobody's any more.
    first?.catch(() => {});
    countMessage(publish.kind, "quarantined");
    return Promise.resolve("quarantined");
  }
  const { properties = {} } = packet;
  const message: InboundMessage = {
    peer,
    publish,
    payload: packet.payload as Buffer,
    contentType: contentTypeOf(packet),
    traceparent: textProperty(properties.userProperties?.traceparent),
    receivedAt,
    reply: (suffix, body) => connection.deliveries.reply(suffix, body),
    resendDesired: () => connection.deliveries.resendDesired(),
    traffic: connection.traffic,
    isCounted: first !== undefined,
  };
  const store = () => storePatiently(connection, message, packet, first);
  return isUnordered(publish) ? store() : inbound.inOrder(store);
}

function contentTypeOf({ properties }: IPublishPacket): string | undefined {
  const contentType: unknown = properties?.contentType;
  return typeof contentType === "string" ? contentType : undefined;
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
  begun: Promise<Taken> | undefined,
): Promise<ReasonCode | "away" | "internal"> {
  const { router, retained, deps, limits } = connection.context;
  let first = begun;
  const deadline = message.receivedAt + limits.storePatienceMs;
  for (let attempt = 1, delayMs = FIRST_RETRY_MS; ; attempt += 1, delayMs *= 2) {
    // Who has gone brings it again; to store it now would be work for nothing.
    if (connection.isClosed && attempt > 1) return counted(message, "away");
    try {
      // An empty message that clears what was retained says nothing else (MQTT 5.0 §3.3.1.3).
      if (first) {
        const result = first;
        first = undefined;
        await router.finish(message, result);
      } else if (!packet.retain || packet.payload.length > 0) await router.route(message);
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

function textProperty(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
