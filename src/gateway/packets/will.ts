import type { IConnectPacket } from "mqtt-packet";
import { isAppError, messageOf } from "../../kernel/index.ts";
import { storableJson } from "../../kernel/storable.ts";
import { mayPublish, parseDevicePublish, topicPrefix } from "../../protocol/index.ts";
import type { GatewayContext } from "../context.ts";
import type { GatewayPeer } from "../deps.ts";
import { countMessage } from "../gateway-metrics.ts";
import { isTakenInQuarantine } from "../message-router.ts";
import {
  type PassedProperties,
  passedMessage,
  passedProperties,
  restoredProperties,
  storedProperties,
} from "../passed-properties.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";

/** What is published for a device whose connection ends without a farewell. */
export interface Will {
  topic: string;
  payload: Buffer;
  qos: 0 | 1 | 2;
  retain: boolean;
  /** MQTT 5.0 §3.1.3.2.2: how long it waits for the device to come back. */
  delaySeconds: number;
  /** Message Expiry Interval, from its publication on. */
  expirySeconds: number | undefined;
  properties: PassedProperties;
}

/** The will of a CONNECT; it may go only where the device itself may publish. */
export function readWill(
  peer: GatewayPeer,
  packet: IConnectPacket,
  maxBytes: number,
): Will | undefined {
  const { will } = packet;
  if (!will) return undefined;
  const { responseTopic } = will.properties ?? {};
  const isForeign = responseTopic !== undefined && !responseTopic.startsWith(topicPrefix(peer));
  if (!mayPublish(peer, will.topic) || isForeign) {
    throw new ConnectionFault(REASON.notAuthorized, "the will's topic is not this device's");
  }
  if (will.payload.length > maxBytes) {
    throw new ConnectionFault(REASON.quotaExceeded, "the will is too large");
  }
  return willFrom(will);
}

/** A will as the CONNECT brings it. */
export function willFrom(will: NonNullable<IConnectPacket["will"]>): Will {
  return {
    topic: will.topic,
    payload: Buffer.from(will.payload as Buffer),
    qos: will.qos ?? 0,
    retain: will.retain === true,
    delaySeconds: will.properties?.willDelayInterval ?? 0,
    expirySeconds: will.properties?.messageExpiryInterval,
    properties: passedProperties(will.properties),
  };
}

/** A will as JSON, for the time that it waits. */
export function storedWill({ payload, properties, ...rest }: Will): string {
  return storableJson({
    ...rest,
    payload: payload.toString("base64"),
    properties: storedProperties(properties),
  });
}

export function restoredWill(stored: unknown): Will {
  const { payload, properties, ...rest } = stored as Omit<Will, "payload"> & { payload: string };
  return {
    ...rest,
    payload: Buffer.from(payload, "base64"),
    properties: restoredProperties(properties),
  };
}

/**
 * Takes the will for a message of the device, if that may still send it: its right is looked at
 * when it connects and again now. Rejects where it could not be stored.
 */
export async function publishWill(
  context: GatewayContext,
  peer: GatewayPeer,
  will: Will,
): Promise<void> {
  const publish = parseDevicePublish(will.topic.slice(topicPrefix(peer).length));
  if (!publish || !mayPublish(peer, will.topic)) return;
  if (peer.quarantined && !isTakenInQuarantine(publish)) return;
  const receivedAt = context.deps.clock.now();
  const { payload, properties } = will;
  const { contentType } = properties;
  const isClearing = will.retain && payload.length === 0;
  if (!isClearing) {
    await context.router.route({
      ...{ peer, publish, payload, contentType, receivedAt, traceparent: undefined },
      reply: () => {},
    });
  }
  if (!isClearing) context.fanOut.offer(peer.tenantId, publishOf(will), receivedAt);
  // MQTT 5.0 §3.1.2.7 [MQTT-3.1.2-15]: Will Retain makes it a retained message.
  if (will.retain) await context.retained.keep(peer, passedMessage(publishOf(will), receivedAt));
}

function publishOf({ topic, payload, qos, properties, expirySeconds }: Will) {
  const expiry = expirySeconds === undefined ? {} : { messageExpiryInterval: expirySeconds };
  return { topic, payload, qos, properties: { ...properties, ...expiry } };
}

/** The same at the end of a connection; false where it could not be stored, and may be later. */
export async function publishWillNow(
  context: GatewayContext,
  peer: GatewayPeer,
  will: Will,
): Promise<boolean> {
  try {
    await publishWill(context, peer, will);
    countMessage("will", "stored");
    return true;
  } catch (error) {
    const { logger } = context.deps;
    logger.warn({ deviceId: peer.deviceId, error: messageOf(error) }, "a will was not stored");
    const isRefused = isAppError(error) && error.code !== "unavailable";
    countMessage("will", isRefused ? "refused" : "postponed");
    return isRefused;
  }
}
