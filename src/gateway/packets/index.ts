import type { Packet } from "mqtt-packet";
import type { Connection } from "../connection.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";
import { handleDisconnect } from "./disconnect.ts";
import { handlePingreq } from "./pingreq.ts";
import { handlePuback } from "./puback.ts";
import { handlePubcomp } from "./pubcomp.ts";
import { handlePublish } from "./publish.ts";
import { handlePubrec } from "./pubrec.ts";
import { handlePubrel } from "./pubrel.ts";
import { handleSubscribe } from "./subscribe.ts";
import { handleUnsubscribe } from "./unsubscribe.ts";

/** Handles one packet of an accepted connection; throws ConnectionFault to end it. */
export function handlePacket(connection: Connection, packet: Packet, sizeBytes: number): void {
  switch (packet.cmd) {
    case "publish":
      handlePublish(connection, packet, sizeBytes);
      return;
    case "puback":
      handlePuback(connection, packet);
      return;
    case "pubrec":
      handlePubrec(connection, packet);
      return;
    case "pubcomp":
      handlePubcomp(connection, packet);
      return;
    case "pubrel":
      handlePubrel(connection, packet);
      return;
    case "subscribe":
      handleSubscribe(connection, packet);
      return;
    case "unsubscribe":
      handleUnsubscribe(connection, packet);
      return;
    case "pingreq":
      handlePingreq(connection);
      return;
    case "disconnect":
      handleDisconnect(connection, packet);
      return;
    case "connect":
      // MQTT 5.0 §3.1 [MQTT-3.1.0-2]: a second CONNECT is a protocol error.
      throw new ConnectionFault(REASON.protocolError, "CONNECT came twice");
    case "auth":
      // MQTT 5.0 §4.12 [MQTT-4.12.0-6]: no AUTH where the CONNECT named no method.
      throw new ConnectionFault(REASON.protocolError, "AUTH without a method");
    default:
      // MQTT 5.0 §2.1.2: what only a server sends.
      throw new ConnectionFault(REASON.protocolError, `${packet.cmd} is not for a device to send`);
  }
}
