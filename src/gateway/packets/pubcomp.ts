import type { IPubcompPacket } from "mqtt-packet";
import type { Connection } from "../connection.ts";

/** The device has forgotten the identifier of a QoS 2 message: it is free again (MQTT 5.0 §3.7). */
export function handlePubcomp(connection: Connection, packet: IPubcompPacket): void {
  connection.outbound.complete(packet.messageId ?? 0);
  connection.deliveries.goOn();
}
