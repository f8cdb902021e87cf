import type { IPubackPacket } from "mqtt-packet";
import type { Connection } from "../connection.ts";

/** The device has taken a message of ours. An identifier that we do not know changes nothing. */
export function handlePuback(connection: Connection, packet: IPubackPacket): void {
  connection.outbound.acknowledge(packet.messageId ?? 0, packet.reasonCode ?? 0);
}
