import type { Packet } from "mqtt-packet";
import { type ProtocolVersion, writePacket } from "./codec.ts";

type PublishPacket = Extract<Packet, { cmd: "publish" }>;

export interface OutboundMessage {
  topic: string;
  payload: string;
  qos: 0 | 1;
  properties: NonNullable<PublishPacket["properties"]>;
}

export type OutboundResult = "acknowledged" | "refused" | "too-large" | "closed";

const MAX_PACKET_ID = 65_535;
/** MQTT 5.0 §2.4: from here on reason codes say that something failed. */
const FIRST_FAILURE_CODE = 0x80;

/** Messages on their way to a device: at most `window` of them without its acknowledgement. */
export class Outbound {
  readonly #write: (bytes: Buffer) => void;
  readonly #version: ProtocolVersion;
  readonly #window: number;
  readonly #maxPacketBytes: number;
  readonly #inflight = new Map<number, (result: OutboundResult) => void>();
  #lastId = 0;

  constructor(options: {
    write: (bytes: Buffer) => void;
    version: ProtocolVersion;
    /** MQTT 5.0 §3.1.2.11.3: never more than the client's Receive Maximum. */
    window: number;
    maxPacketBytes: number;
  }) {
    this.#write = options.write;
    this.#version = options.version;
    this.#window = options.window;
    this.#maxPacketBytes = options.maxPacketBytes;
  }

  /** Messages that may be sent now. */
  get free(): number {
    return this.#window - this.#inflight.size;
  }

  /** Sends a message; the caller has seen that `free` is above 0. Resolves with what became of it. */
  send(message: OutboundMessage): Promise<OutboundResult> {
    const { topic, payload, qos, properties } = message;
    const messageId = qos === 1 ? this.#nextId() : undefined;
    const packet: PublishPacket = {
      cmd: "publish",
      topic,
      payload,
      qos,
      dup: false,
      retain: false,
      ...(messageId === undefined ? {} : { messageId }),
      ...(this.#version === 5 ? { properties } : {}),
    };
    const bytes = writePacket(packet, this.#version);
    // MQTT 5.0 §3.1.2.11.4 [MQTT-3.1.2-24]: such a packet must not be sent at all.
    if (bytes.length > this.#maxPacketBytes) return Promise.resolve("too-large");
    return new Promise((resolve) => {
      if (messageId === undefined) resolve("acknowledged");
      else this.#inflight.set(messageId, resolve);
      this.#write(bytes);
    });
  }

  /** False when nothing was sent under this identifier. */
  acknowledge(messageId: number, reasonCode: number): boolean {
    const resolve = this.#inflight.get(messageId);
    if (!resolve) return false;
    this.#inflight.delete(messageId);
    resolve(reasonCode < FIRST_FAILURE_CODE ? "acknowledged" : "refused");
    return true;
  }

  close(): void {
    for (const resolve of this.#inflight.values()) resolve("closed");
    this.#inflight.clear();
  }

  #nextId(): number {
    do {
      this.#lastId = (this.#lastId % MAX_PACKET_ID) + 1;
    } while (this.#inflight.has(this.#lastId));
    return this.#lastId;
  }
}
