import mqtt, { type Packet, type Parser } from "mqtt-packet";
import { hasConnectShape } from "./connect-shape.ts";
import { readPlainPublish } from "./publish-codec.ts";
import { ConnectionFault, REASON } from "./reason-codes.ts";

export type ProtocolVersion = 4 | 5;

/**
 * Reads whole packets. One parser serves all connections of a protocol version: a packet is always
 * complete when it comes here, so that nothing of it stays behind.
 */
class PacketReader {
  readonly #settings: { protocolVersion: ProtocolVersion };
  #parser: Parser;
  #packet: Packet | undefined;
  #fault: Error | undefined;

  constructor(protocolVersion: ProtocolVersion) {
    this.#settings = { protocolVersion };
    this.#parser = this.#makeParser();
  }

  read(bytes: Buffer): Packet {
    this.#packet = undefined;
    this.#fault = undefined;
    let left: number;
    try {
      left = this.#parser.parse(bytes);
    } catch (error) {
      left = -1;
      this.#fault = error as Error;
    }
    const packet = this.#packet;
    if (packet && !this.#fault && left === 0) {
      if (isText(packet, MAX_NESTING)) return packet;
      this.#fault = new Error("a string is no UTF-8, or holds U+0000");
    }
    // What a broken packet left behind must not touch the next one, which is someone else's.
    this.#parser = this.#makeParser();
    const why = (this.#fault as Error | undefined)?.message ?? "its length is wrong";
    throw new ConnectionFault(REASON.malformedPacket, `malformed packet: ${why}`);
  }

  #makeParser(): Parser {
    const parser = mqtt.parser(this.#settings);
    parser.on("packet", (packet) => {
      this.#packet = packet;
    });
    parser.on("error", (error: Error) => {
      this.#fault = error;
    });
    return parser;
  }
}

/** Strings lie in properties, and there in lists of user properties. */
const MAX_NESTING = 5;

/**
 * MQTT 5.0 §1.5.4 [MQTT-1.5.4-1], [MQTT-1.5.4-2]: strings are UTF-8 without U+0000. What is no UTF-8
 * has become U+FFFD; who means that very character is refused as well, and has no topic that holds it.
 */
function isText(value: unknown, depth: number): boolean {
  if (typeof value === "string") return !NO_TEXT.test(value);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return true;
  if (depth === 0) return false;
  for (const key in value) {
    if (NO_TEXT.test(key) || !isText((value as Record<string, unknown>)[key], depth - 1)) {
      return false;
    }
  }
  return true;
}

const NO_TEXT = /[\0\uFFFD]/;

const readers = { 4: new PacketReader(4), 5: new PacketReader(5) };
/** A CONNECT becomes its parser's settings: these have one of their own, and none goes by them. */
const connects = new PacketReader(5);

/** Reads one whole packet of a connection; throws ConnectionFault where it is malformed. */
export function readPacket(bytes: Buffer, version: ProtocolVersion): Packet {
  return readPlainPublish(bytes, version) ?? readers[version].read(bytes);
}

const TYPE_CONNECT = 1;

/**
 * Reads a connection's first packet, which must be a CONNECT of MQTT 3.1.1 or 5.
 * An unknown version is told apart, because it has an answer of its own (MQTT 5.0 §3.1.2.2).
 */
export function readConnect(bytes: Buffer): Extract<Packet, { cmd: "connect" }> {
  // MQTT 5.0 §3.1 [MQTT-3.1.0-1]: the first packet must be a CONNECT.
  if ((bytes[0] as number) >> 4 !== TYPE_CONNECT) {
    throw new ConnectionFault(REASON.protocolError, "the first packet is no CONNECT");
  }
  const version = protocolVersionOf(bytes);
  if (version !== undefined && version !== 4 && version !== 5) {
    throw new ConnectionFault(
      REASON.unsupportedProtocolVersion,
      `protocol version ${version} is not spoken here`,
    );
  }
  if (!hasConnectShape(bytes)) {
    const why = "malformed packet: its fields and its flags do not agree";
    throw new ConnectionFault(REASON.malformedPacket, why);
  }
  return connects.read(bytes) as Extract<Packet, { cmd: "connect" }>;
}

/** The version byte behind the protocol's name, where there is one. */
function protocolVersionOf(bytes: Buffer): number | undefined {
  let offset = 1;
  while ((bytes[offset] as number) >= 0x80) offset += 1;
  offset += 1;
  if (bytes.length < offset + 3) return undefined;
  return bytes[offset + 2 + bytes.readUInt16BE(offset)];
}

/**
 * The bytes of a packet for a client that takes no more than `maxBytes`. Words go first: a reason
 * string must not make a packet larger than that (MQTT 5.0 §3.2.2.3.9 [MQTT-3.2.2-19], and its like
 * in §3.4 to §3.15). Undefined where it is too large without them (§3.1.2.11.4 [MQTT-3.1.2-24]).
 */
export function writeWithin(
  packet: Packet,
  version: ProtocolVersion,
  maxBytes: number,
): Buffer | undefined {
  const bytes = writePacket(packet, version);
  if (bytes.length <= maxBytes) return bytes;
  const { properties = {} } = packet as { properties?: { reasonString?: string } };
  const { reasonString, ...rest } = properties;
  if (reasonString === undefined) return undefined;
  return writeWithin({ ...packet, properties: rest } as Packet, version, maxBytes);
}

/** The bytes of a packet. */
export function writePacket(packet: Packet, version: ProtocolVersion): Buffer {
  return mqtt.generate(packet, { protocolVersion: version }) as Buffer;
}

/** A CONNACK of MQTT 3.1.1 that accepts: a session's presence is all that it says (§3.2.2). */
export function plainConnack(isSessionPresent: boolean): Buffer {
  return Buffer.from([0x20, 2, isSessionPresent ? 1 : 0, 0]);
}
