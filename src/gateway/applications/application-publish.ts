import type { IPublishPacket } from "mqtt-packet";
import { type AppError, isAppError } from "../../kernel/index.ts";
import { exchangeTenant } from "../exchange/topics.ts";
import { applicationMessages } from "../gateway-metrics.ts";
import { passedMessage } from "../passed-properties.ts";
import { ConnectionFault, REASON, type ReasonCode } from "../reason-codes.ts";
import { commandTarget, exchangeTarget } from "./access.ts";
import type { Application } from "./application.ts";
import { readCommandRequest } from "./command-request.ts";

const MAX_REASON = 256;

/** What has become of a message. */
interface Outcome {
  reason: ReasonCode;
  /** In words, where it was refused. */
  why?: string | undefined;
}

const TAKEN: Outcome = { reason: REASON.success };

/**
 * What an application publishes: an order, acknowledged when the command is in the device's queue;
 * or a message for the tenant's other applications, acknowledged when it is durable.
 */
export function handlePublish(application: Application, packet: IPublishPacket): void {
  const { qos, messageId = 0, properties = {} } = packet;
  // MQTT 5.0 §3.3.2.1 [MQTT-3.3.2-2], §3.3.4 [MQTT-3.3.4-6].
  if (/[+#\0]/.test(packet.topic)) {
    throw new ConnectionFault(REASON.topicNameInvalid, "no topic name");
  }
  // MQTT 5.0 §3.3.1.1 [MQTT-3.3.1-2].
  if (qos === 0 && packet.dup) throw new ConnectionFault(REASON.malformedPacket, "DUP with QoS 0");
  // MQTT 5.0 §3.3.2.3.5 [MQTT-3.3.2-14].
  if (properties.responseTopic !== undefined && /[+#]/.test(properties.responseTopic)) {
    throw new ConnectionFault(REASON.protocolError, "a wildcard in the response topic");
  }
  if (properties.subscriptionIdentifier !== undefined) {
    throw new ConnectionFault(REASON.protocolError, "a subscription identifier from a client");
  }
  const topic = application.aliases.resolve(packet.topic, properties.topicAlias);
  if (qos === 2 && application.unreleased.has(messageId)) {
    // MQTT 5.0 §4.3.3 [MQTT-4.3.3-10]: known already, so only acknowledged, after the first.
    application.inOrder(async () => acknowledge(application, packet, TAKEN), 0);
    return;
  }
  application.inOrder(() => take(application, { ...packet, topic }), qos);
  if (qos === 2) application.unreleased.add(messageId);
}

async function take(application: Application, packet: IPublishPacket): Promise<void> {
  const isTold = exchangeTenant(packet.topic) !== undefined && application.context.exchange;
  const outcome = isTold ? await tell(application, packet) : await order(application, packet);
  if (packet.qos === 0) return;
  if (packet.qos === 2) {
    if (outcome.reason !== REASON.success) application.unreleased.delete(packet.messageId ?? 0);
    // With the identifier on record a later connection does not take the message again.
    else if (!(await application.save())) return;
  }
  acknowledge(application, packet, outcome);
}

async function tell(application: Application, packet: IPublishPacket): Promise<Outcome> {
  const { session, context, clientKey } = application;
  const { exchange, deps } = context;
  const tenantId = exchangeTarget(session.principal, packet.topic);
  const { responseTopic } = packet.properties ?? {};
  const isForeign = responseTopic !== undefined && exchangeTenant(responseTopic) !== tenantId;
  if (tenantId === undefined || isForeign || !exchange) {
    return counted("refused", REASON.notAuthorized);
  }
  if (!context.mayTell(session.principal.actor.id)) {
    return counted("limited", REASON.quotaExceeded);
  }
  try {
    const message = passedMessage(packet, deps.clock.now());
    await exchange.tell(tenantId, { message, retain: packet.retain, from: clientKey });
    return counted("told", REASON.success);
  } catch (error) {
    if (!isAppError(error)) throw error;
    return counted("refused", reasonOf(error), error.message);
  }
}

async function order(application: Application, packet: IPublishPacket): Promise<Outcome> {
  const { session, context } = application;
  const { actor } = session.principal;
  const target = commandTarget(session.principal, packet.topic);
  // An order is carried out once; nothing of it could be retained.
  if (!target || packet.retain) return counted("refused", REASON.notAuthorized);
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
    return counted("refused", reasonOf(error), error.message);
  }
}

function reasonOf(error: AppError): ReasonCode {
  switch (error.code) {
    case "not-found":
      return REASON.topicNameInvalid;
    case "quota-exceeded":
      return REASON.quotaExceeded;
    case "unavailable":
      throw new ConnectionFault(REASON.serverBusy, "the platform cannot take it now");
    default:
      return REASON.payloadFormatInvalid;
  }
}

function acknowledge(
  application: Application,
  packet: IPublishPacket,
  { reason, why }: Outcome,
): void {
  const { qos, messageId = 0 } = packet;
  const { version, wantsReasons } = application.session;
  if (version === 4 && reason !== REASON.success) {
    // MQTT 3.1.1 §3.3.5: without a word for refusal, what is not taken ends the connection.
    throw new ConnectionFault(reason, "the message was refused");
  }
  const cmd = qos === 2 ? "pubrec" : "puback";
  const words = why !== undefined && wantsReasons && version === 5;
  const properties = words ? { properties: { reasonString: why.slice(0, MAX_REASON) } } : {};
  application.send({ cmd, messageId, reasonCode: reason, ...properties });
}

function counted(outcome: string, reason: ReasonCode, why?: string): Outcome {
  applicationMessages.inc({ direction: "in", outcome });
  return { reason, why };
}
