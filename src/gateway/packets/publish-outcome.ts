import type { IPublishPacket } from "mqtt-packet";
import type { AppError } from "../../kernel/index.ts";
import type { Connection } from "../connection.ts";
import { plainPuback } from "../publish-codec.ts";
import { ConnectionFault, REASON, type ReasonCode } from "../reason-codes.ts";

/** What became of a message; `away` when there must be no acknowledgement. */
export type Outcome = ReasonCode | "away" | "internal" | "quarantined";

export function outcomeName(outcome: Outcome): string {
  if (outcome === REASON.success) return "stored";
  return typeof outcome === "string" ? outcome : "refused";
}

export function refusalReason(error: AppError): ReasonCode {
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

/** What is durable goes to those who listen: the device itself, and its tenant's applications. */
export function passOn(connection: Connection, packet: IPublishPacket): void {
  const { peer, context, deliveries } = connection;
  const now = context.deps.clock.now();
  deliveries.own.echo(packet, now);
  context.fanOut.offer(peer.tenantId, packet, now);
}

/** Answers a message of QoS 1 or 2, or ends the connection where its version has no word for it. */
export function sendAcknowledgement(
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
