import type { IConnectPacket } from "mqtt-packet";
import { messageOf } from "../../kernel/index.ts";
import { mayPublish, parseDevicePublish, topicPrefix } from "../../protocol/index.ts";
import type { GatewayContext } from "../context.ts";
import type { GatewayPeer } from "../deps.ts";
import { countMessage } from "../gateway-metrics.ts";
import { isTakenInQuarantine } from "../message-router.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";

/** What is published for a device whose connection ends without a farewell. */
export interface Will {
  topic: string;
  payload: Buffer;
  contentType: string | undefined;
}

/** The will of a CONNECT; it may go only where the device itself may publish. */
export function readWill(peer: GatewayPeer, packet: IConnectPacket): Will | undefined {
  const { will } = packet;
  if (!will) return undefined;
  // MQTT 5.0 §3.2.2.3.5 [MQTT-3.2.2-13]: no retained will where retain is not available. MQTT 3.1.1
  // has no word for it: there the flag counts for nothing, as with every other message.
  if (will.retain && packet.protocolVersion === 5) {
    throw new ConnectionFault(REASON.retainNotSupported, "wills are not retained here");
  }
  if (!mayPublish(peer, will.topic)) {
    throw new ConnectionFault(REASON.notAuthorized, "the will's topic is not this device's");
  }
  const { contentType } = will.properties ?? {};
  return {
    topic: will.topic,
    payload: Buffer.from(will.payload as Buffer),
    contentType: typeof contentType === "string" ? contentType : undefined,
  };
}

/** Takes the will for a message of the device; nobody is left who could repeat it. */
export function publishWill(context: GatewayContext, peer: GatewayPeer, will: Will): void {
  const publish = parseDevicePublish(will.topic.slice(topicPrefix(peer).length));
  if (!publish || (peer.quarantined && !isTakenInQuarantine(publish))) return;
  const { clock, logger } = context.deps;
  const { payload, contentType } = will;
  const message = { peer, publish, payload, contentType, traceparent: undefined, reply: () => {} };
  context.router.route({ ...message, receivedAt: clock.now() }).then(
    () => countMessage("will", "stored"),
    (error) => {
      countMessage("will", "lost");
      logger.warn({ deviceId: peer.deviceId, error: messageOf(error) }, "a will was not stored");
    },
  );
}
