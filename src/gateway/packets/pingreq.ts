import type { Connection } from "../connection.ts";

/** MQTT 5.0 §3.12.4 [MQTT-3.12.4-1]: a PINGREQ is answered. */
export function handlePingreq(connection: Connection): void {
  connection.send({ cmd: "pingresp" });
}
