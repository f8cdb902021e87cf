import type { IPubrecPacket } from "mqtt-packet";
import type { Connection } from "../connection.ts";
import { REASON } from "../reason-codes.ts";

/** The device has a QoS 2 message of ours; it may forget the identifier with our PUBREL. */
export function handlePubrec(connection: Connection, packet: IPubrecPacket): void {
  const { messageId = 0 } = packet;
  const next = connection.outbound.receive(messageId, packet.reasonCode ?? 0);
  if (next === "done") {
    connection.deliveries.goOn();
    return;
  }
  // MQTT 5.0 §4.3.3 [MQTT-4.3.3-4]: a PUBREL answers. §3.6.2.1: for an identifier that we do not
  // know it says so, and the device's side of the exchange ends all the same.
  const reasonCode = next === "release" ? REASON.success : REASON.packetIdentifierNotFound;
  // With the release on record a later connection sends it again, and not the message.
  void connection.session.save().then((isSaved) => {
    if (isSaved) connection.send({ cmd: "pubrel", messageId, reasonCode });
  });
}
