import type { IPubrelPacket } from "mqtt-packet";
import type { Connection } from "../connection.ts";
import { REASON } from "../reason-codes.ts";

/** The last step of a QoS 2 message: its identifier is free again. */
export function handlePubrel(connection: Connection, packet: IPubrelPacket): void {
  const messageId = packet.messageId ?? 0;
  // MQTT 5.0 §3.7.2.1: an unknown identifier is completed all the same, and told.
  const known = connection.inbound.unreleased.delete(messageId);
  connection.send({
    cmd: "pubcomp",
    messageId,
    reasonCode: known ? REASON.success : REASON.packetIdentifierNotFound,
  });
}
