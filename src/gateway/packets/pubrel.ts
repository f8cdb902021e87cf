import type { IPubrelPacket } from "mqtt-packet";
import type { Connection } from "../connection.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";

/** The last step of a QoS 2 message of the device: its identifier is free again. */
export function handlePubrel(connection: Connection, packet: IPubrelPacket): void {
  const { messageId = 0 } = packet;
  const { inbound } = connection;
  const state = inbound.unreleased.get(messageId);
  if (state === "storing") {
    // MQTT 5.0 §4.3.3 [MQTT-4.3.3-4]: PUBREL answers the PUBREC, which has not been sent.
    throw new ConnectionFault(REASON.protocolError, "PUBREL before the PUBREC");
  }
  if (state === undefined) inbound.countStray();
  inbound.unreleased.delete(messageId);
  // MQTT 5.0 §3.7.2.1, §4.3.3 [MQTT-4.3.3-11]: an unknown identifier is completed too, and told.
  const reasonCode = state === undefined ? REASON.packetIdentifierNotFound : REASON.success;
  // Were the identifier still on record, the device's next message under it would be lost.
  void connection.session.save().then((isSaved) => {
    if (isSaved) connection.send({ cmd: "pubcomp", messageId, reasonCode });
  });
}
