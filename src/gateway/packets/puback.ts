import type { IPubackPacket } from "mqtt-packet";
import type { Connection } from "../connection.ts";

/** The device has taken a QoS 1 message of ours (MQTT 5.0 §3.4). */
export function handlePuback(connection: Connection, packet: IPubackPacket): void {
  connection.outbound.acknowledge(packet.messageId ?? 0, packet.reasonCode ?? 0);
  connection.deliveries.goOn();
}
