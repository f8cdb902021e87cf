import type { IPublishPacket, ISubscribePacket, ISubscription, Packet } from "mqtt-packet";
import { type AppError, isAppError } from "../../kernel/index.ts";
import { applicationMessages } from "../gateway-metrics.ts";
import { ConnectionFault, REASON, type ReasonCode } from "../reason-codes.ts";
import { commandTarget, readFilter } from "./access.ts";
import type { Application } from "./application.ts";
import { readCommandRequest } from "./command-request.ts";

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
      application.send({ cmd: "unsuback", messageId, granted });
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
    case "pubrel": {
      const isKnown = application.unreleased.delete(messageId);
      const reasonCode = isKnown ? REASON.success : REASON.packetIdentifierNotFound;
      application.send({ cmd: "pubcomp", messageId, reasonCode });
      break;
    }
    case "pingreq":
      application.send({ cmd: "pingresp" });
      break;
    case "disconnect":
      application.close();
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
  application.send({ cmd: "pubrel", messageId, reasonCode });
}

function handleSubscribe(application: Application, packet: ISubscribePacket): void {
  const { subscriptions, messageId = 0, properties = {} } = packet;
  // MQTT 5.0 §3.8.3 [MQTT-3.8.3-2].
  if (subscriptions.length === 0 || messageId <= 0) {
    throw new ConnectionFault(REASON.protocolError, "SUBSCRIBE without filter or identifier");
  }
  const { subscriptionIdentifier: identifier } = properties;
  const granted = subscriptions.map((asked) => grant(application, asked, identifier));
  application.send({ cmd: "suback", messageId, granted });
}

function grant(
  application: Application,
  { topic, qos, nl }: ISubscription,
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
  subscriptions.set(topic, { ...asked, qos, identifier });
  context.hub.join(asked.tenantId, application);
  return qos;
}

/** An order: acknowledged when the command is in the device's queue. */
function handlePublish(application: Application, packet: IPublishPacket): void {
  const { qos, messageId = 0 } = packet;
  const { properties = {} } = packet;
  // MQTT 5.0 §3.3.2.1 [MQTT-3.3.2-2], §3.2.2.3.5 [MQTT-3.2.2-14]: our Retain Available is 0.
  if (/[+#\0]/.test(packet.topic)) {
    throw new ConnectionFault(REASON.topicNameInvalid, "no topic name");
  }
  if (packet.retain && application.session.version === 5) {
    throw new ConnectionFault(REASON.retainNotSupported, "an order is not retained");
  }
  const topic = application.aliases.resolve(packet.topic, properties.topicAlias);
  if (qos === 2 && application.unreleased.has(messageId)) {
    // MQTT 5.0 §4.3.3 [MQTT-4.3.3-10]: known already, so only acknowledged, after the first.
    application.inOrder(async () => acknowledge(application, packet, REASON.success));
    return;
  }
  if (qos === 2) application.unreleased.add(messageId);
  application.inOrder(async () => {
    const outcome = await order(application, packet, topic);
    if (outcome !== REASON.success) application.unreleased.delete(messageId);
    acknowledge(application, packet, outcome);
  });
}

async function order(
  application: Application,
  packet: IPublishPacket,
  topic: string,
): Promise<ReasonCode> {
  const { session, context } = application;
  const { actor } = session.principal;
  const target = commandTarget(session.principal, topic);
  if (!target) return counted("refused", REASON.notAuthorized);
  if (!context.mayCommand(actor.id)) return counted("limited", REASON.quotaExceeded);
  const { contentType, messageExpiryInterval, userProperties } = packet.properties ?? {};
  try {
    const command = readCommandRequest(target.deviceId, {
      payload: packet.payload as Buffer,
      contentType,
      ...(messageExpiryInterval === undefined ? {} : { expirySeconds: messageExpiryInterval }),
    });
    const traceparent = userProperties?.traceparent;
    const trace = typeof traceparent === "string" ? traceparent : null;
    await context.deps.commands.send(target.tenantId, command, actor, trace);
    return counted("queued", REASON.success);
  } catch (error) {
    if (!isAppError(error)) throw error;
    return counted("refused", reasonOf(error));
  }
}

function reasonOf(error: AppError): ReasonCode {
  switch (error.code) {
    case "not-found":
      return REASON.topicNameInvalid;
    case "quota-exceeded":
      return REASON.quotaExceeded;
    case "unavailable":
      throw new ConnectionFault(REASON.serverBusy, "the platform cannot take orders now");
    default:
      return REASON.payloadFormatInvalid;
  }
}

function acknowledge(application: Application, packet: IPublishPacket, outcome: ReasonCode): void {
  const { qos, messageId = 0 } = packet;
  if (qos === 0) return;
  if (application.session.version === 4 && outcome !== REASON.success) {
    // MQTT 3.1.1 §3.3.5: without a word for refusal, what is not taken ends the connection.
    throw new ConnectionFault(outcome, "the order was refused");
  }
  application.send({ cmd: qos === 2 ? "pubrec" : "puback", messageId, reasonCode: outcome });
}

function counted(outcome: string, reason: ReasonCode): ReasonCode {
  applicationMessages.inc({ direction: "in", outcome });
  return reason;
}
