import type { IDisconnectPacket } from "mqtt-packet";
import type { Connection } from "../connection.ts";

/** The device takes its leave. */
export function handleDisconnect(connection: Connection, packet: IDisconnectPacket): void {
  // MQTT 5.0 §3.1.2.5 [MQTT-3.1.2-10]: only a normal farewell, code 0x00, takes the will along.
  const expiry = packet.properties?.sessionExpiryInterval;
  if (expiry !== undefined) {
    const { sessionExpirySeconds } = connection.context.limits;
    connection.session.changeExpiry(Math.min(expiry, sessionExpirySeconds));
  }
  const normal = (packet.reasonCode ?? 0) === 0;
  connection.end("the device disconnected", normal ? "normal" : "with-reason", normal);
}
