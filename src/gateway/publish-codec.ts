import type { IPublishPacket } from "mqtt-packet";
import type { ProtocolVersion } from "./codec.ts";

const TYPE_PUBLISH = 0x30;
/** The most frequent answer there is: its type, its length, and room for the identifier. */
const PUBACK = 0x40;
const PUBACK_BYTES = 4;

/**
 * Reads the PUBLISH that nearly all are: no properties, a well-formed head. It gives the same as
 * mqtt-packet, at a fraction of the cost. Undefined for everything else, which goes the long way,
 * with every fault that a packet can have.
 */
export function readPlainPublish(
  bytes: Buffer,
  version: ProtocolVersion,
): IPublishPacket | undefined {
  const first = bytes[0] as number;
  if ((first & 0xf0) !== TYPE_PUBLISH) return undefined;
  const qos = (first >> 1) & 3;
  const isDup = (first & 8) !== 0;
  // MQTT 5.0 §3.3.1 [MQTT-3.3.1-2], [MQTT-3.3.1-4].
  if (qos === 3 || (isDup && qos === 0)) return undefined;
  let offset = 2;
  while ((bytes[offset - 1] as number) >= 0x80) offset += 1;
  if (bytes.length < offset + 2) return undefined;
  const topicEnd = offset + 2 + (((bytes[offset] as number) << 8) | (bytes[offset + 1] as number));
  const headEnd = topicEnd + (qos > 0 ? 2 : 0) + (version === 5 ? 1 : 0);
  if (bytes.length < headEnd || (version === 5 && bytes[headEnd - 1] !== 0)) return undefined;
  const topic = plainText(bytes, offset + 2, topicEnd);
  if (topic === undefined) return undefined;
  const packet: IPublishPacket = {
    cmd: "publish",
    retain: (first & 1) !== 0,
    qos: qos as 0 | 1 | 2,
    dup: isDup,
    topic,
    payload: bytes.subarray(headEnd),
  };
  if (qos > 0) {
    packet.messageId = ((bytes[topicEnd] as number) << 8) | (bytes[topicEnd + 1] as number);
  }
  return packet;
}

/** ASCII without U+0000; undefined for what has to be looked at more closely. */
function plainText(bytes: Buffer, start: number, end: number): string | undefined {
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index] as number;
    if (byte === 0 || byte >= 0x80) return undefined;
  }
  return bytes.toString("latin1", start, end);
}

/** A PUBACK that means success: in both versions two bytes after its length (MQTT 5.0 §3.4.2.1). */
export function plainPuback(messageId: number): Buffer {
  return plainPubacks([messageId]);
}

/** One for each identifier. */
export function plainPubacks(messageIds: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(PUBACK_BYTES * messageIds.length);
  let at = 0;
  for (const messageId of messageIds) {
    bytes[at++] = PUBACK;
    bytes[at++] = 2;
    bytes[at++] = messageId >> 8;
    bytes[at++] = messageId & 0xff;
  }
  return bytes;
}
