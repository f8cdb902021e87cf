import type { IUnsubscribePacket } from "mqtt-packet";
import type { Connection } from "../connection.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";

/** Ends subscriptions, with a code for each filter (MQTT 5.0 §3.11.3). */
export function handleUnsubscribe(connection: Connection, packet: IUnsubscribePacket): void {
  const { unsubscriptions, messageId = 0 } = packet;
  // MQTT 5.0 §3.10.3 [MQTT-3.10.3-2].
  if (unsubscriptions.length === 0 || messageId <= 0) {
    throw new ConnectionFault(REASON.protocolError, "UNSUBSCRIBE without filter or identifier");
  }
  const granted = unsubscriptions.map((filter) =>
    connection.subscriptions.remove(filter) ? REASON.success : REASON.noSubscriptionExisted,
  );
  connection.subscriptions.review(connection.peer);
  void connection.session.save().then((isSaved) => {
    if (isSaved) connection.send({ cmd: "unsuback", messageId, granted });
  });
}
