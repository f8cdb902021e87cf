import type { Packet } from "mqtt-packet";
import { LazyMap } from "../kernel/lazy-collections.ts";
import { type ProtocolVersion, writePacket } from "./codec.ts";
import { publishesOut } from "./gateway-metrics.ts";
import { ConnectionFault, REASON } from "./reason-codes.ts";
import type { SessionState } from "./sessions-store.ts";
import { OutboundAliases } from "./topic-aliases.ts";

type PublishPacket = Extract<Packet, { cmd: "publish" }>;

export interface OutboundMessage {
  topic: string;
  payload: string | Buffer;
  qos: 0 | 1 | 2;
  retain?: boolean;
  properties: NonNullable<PublishPacket["properties"]>;
  /** The command that it carries: by it a message is found again when the session is resumed. */
  command?: string;
}

export type OutboundResult = "acknowledged" | "refused" | "too-large" | "closed";

/** A message under way: until PUBACK, or until PUBREC and then PUBCOMP. */
interface Entry {
  qos: 1 | 2;
  command: string | null;
  isReleased: boolean;
  resolve: (result: OutboundResult) => void;
}

const MAX_PACKET_ID = 65_535;
/** MQTT 5.0 §2.4: from here on reason codes say that something failed. */
const FIRST_FAILURE_CODE = 0x80;
/** Acknowledgements of what was never sent that one connection is forgiven. */
export const MAX_STRAYS = 1_000;

/** Messages on their way to a device: at most `window` of them without its acknowledgement. */
export class Outbound {
  readonly #write: (bytes: Buffer) => void;
  readonly #version: ProtocolVersion;
  readonly #window: number;
  readonly #maxPacketBytes: number;
  readonly #inflight = new LazyMap<number, Entry>();
  /** Commands that the session's earlier connection has sent, and under which identifiers. */
  readonly #resumable = new LazyMap<string, number>();
  readonly #aliases: OutboundAliases;
  readonly #save: () => Promise<boolean>;
  #lastId = 0;
  #strays = 0;

  constructor(options: {
    write: (bytes: Buffer) => void;
    version: ProtocolVersion;
    /** MQTT 5.0 §3.1.2.11.3: never more than the client's Receive Maximum. */
    window: number;
    maxPacketBytes: number;
    /** The client's Topic Alias Maximum. */
    topicAliasMaximum?: number;
    /** Makes durable what `list` says; false when nothing may be sent any more. */
    save: () => Promise<boolean>;
  }) {
    this.#save = options.save;
    this.#aliases = new OutboundAliases(options.topicAliasMaximum ?? 0);
    this.#write = options.write;
    this.#version = options.version;
    this.#window = options.window;
    this.#maxPacketBytes = options.maxPacketBytes;
  }

  /** Messages that may be sent now. */
  get free(): number {
    return this.#window - this.#inflight.size;
  }

  /** Messages that the device has not acknowledged. */
  get size(): number {
    return this.#inflight.size;
  }

  /** What a session keeps: commands under way, and releases that are not completed. */
  list(): SessionState["inflight"] {
    const under = [...this.#inflight].flatMap(([id, { command, isReleased }]) =>
      command === null && !isReleased ? [] : [{ id, command, released: isReleased }],
    );
    const waiting = [...this.#resumable].map(([command, id]) => ({ id, command, released: false }));
    return [...under, ...waiting];
  }

  /**
   * Goes on where the session's earlier connection has ended. MQTT 5.0 §4.4 [MQTT-4.4.0-1]: each
   * PUBREL goes out again at once, each message when its command is read from the queue again.
   */
  resume(kept: SessionState["inflight"]): void {
    for (const { id, command, released } of kept) {
      if (released) {
        this.#inflight.set(id, { qos: 2, command, isReleased: true, resolve: () => {} });
        this.#write(writePacket({ cmd: "pubrel", messageId: id }, this.#version));
      } else if (command !== null) {
        this.#resumable.set(command, id);
      }
    }
  }

  /** Commands that wait to be sent again; `forget` those that the queue does not hold any more. */
  get resumable(): ReadonlySet<string> {
    return new Set(this.#resumable.keys());
  }

  forget(command: string): void {
    this.#resumable.delete(command);
  }

  /**
   * Sends a message; the caller has seen that `free` is above 0. Resolves with what became of it,
   * which for QoS 2 is known with the PUBREC: from then on the device has it.
   */
  send(message: OutboundMessage): Promise<OutboundResult> {
    const { payload, qos, properties, command = null, retain = false } = message;
    const { topic, topicAlias, commit } = this.#aliases.use(message.topic);
    const known = command === null ? undefined : this.#resumable.get(command);
    if (command !== null) this.#resumable.delete(command);
    const messageId = qos === 0 ? undefined : (known ?? this.#nextId());
    const packet: PublishPacket = {
      cmd: "publish",
      topic,
      payload,
      qos,
      // MQTT 5.0 §3.3.1.1 [MQTT-3.3.1-1]: what was sent before is marked as such.
      dup: messageId !== undefined && messageId === known,
      retain,
      ...(messageId === undefined ? {} : { messageId }),
      ...(this.#version === 5
        ? { properties: topicAlias === undefined ? properties : { ...properties, topicAlias } }
        : {}),
    };
    const bytes = writePacket(packet, this.#version);
    // MQTT 5.0 §3.1.2.11.4 [MQTT-3.1.2-24]: such a packet must not be sent at all.
    if (bytes.length > this.#maxPacketBytes) return Promise.resolve("too-large");
    commit();
    publishesOut[qos].inc();
    return new Promise((resolve) => {
      if (messageId === undefined || qos === 0) {
        this.#write(bytes);
        resolve("acknowledged");
        return;
      }
      this.#inflight.set(messageId, { qos, command, isReleased: false, resolve });
      if (command === null) this.#write(bytes);
      // The identifier is on record before the device can see it: no other message may get it.
      else void this.#save().then((isSaved) => isSaved && this.#write(bytes));
    });
  }

  /** A PUBACK. False when nothing was sent under this identifier. */
  acknowledge(messageId: number, reasonCode: number): boolean {
    const entry = this.#entryOf(messageId, 1);
    if (!entry) return false;
    this.#inflight.delete(messageId);
    entry.resolve(outcomeOf(reasonCode));
    return true;
  }

  /** A PUBREC: whether the PUBREL is due, or what else is to be done about it. */
  receive(messageId: number, reasonCode: number): "release" | "done" | "unknown" {
    const entry = this.#entryOf(messageId, 2);
    if (!entry) return "unknown";
    if (entry.isReleased) return "release";
    if (reasonCode >= FIRST_FAILURE_CODE) {
      // MQTT 5.0 §4.3.3: a PUBREC that refuses is the end of it, and frees the identifier.
      this.#inflight.delete(messageId);
      entry.resolve("refused");
      return "done";
    }
    // MQTT 5.0 §4.3.3 [MQTT-4.3.3-6]: from now on the message is not sent again, only its PUBREL.
    entry.isReleased = true;
    entry.resolve("acknowledged");
    return "release";
  }

  /** A PUBCOMP. False when nothing was released under this identifier. */
  complete(messageId: number): boolean {
    const entry = this.#entryOf(messageId, 2);
    if (!entry) return false;
    if (!entry.isReleased) {
      // MQTT 5.0 §4.3.3 [MQTT-4.3.3-11]: PUBCOMP answers a PUBREL, which has not been sent.
      throw new ConnectionFault(REASON.protocolError, "PUBCOMP without a PUBREL");
    }
    return this.#inflight.delete(messageId);
  }

  close(): void {
    for (const { resolve } of this.#inflight.values()) resolve("closed");
    this.#inflight.clear();
  }

  #entryOf(messageId: number, qos: 1 | 2): Entry | undefined {
    const entry = this.#inflight.get(messageId);
    if (entry && entry.qos !== qos) {
      // MQTT 5.0 §4.3.2, §4.3.3: each quality of service has acknowledgements of its own.
      throw new ConnectionFault(REASON.protocolError, "an acknowledgement of the wrong kind");
    }
    if (!entry) this.#countStray();
    return entry;
  }

  /** One is forgiven: it may come from a session that has ended. A flood of them is an attack. */
  #countStray(): void {
    this.#strays += 1;
    if (this.#strays > MAX_STRAYS) {
      throw new ConnectionFault(REASON.protocolError, "too many acknowledgements of nothing");
    }
  }

  #isReserved(id: number): boolean {
    for (const reserved of this.#resumable.values()) if (reserved === id) return true;
    return false;
  }

  #nextId(): number {
    do {
      this.#lastId = (this.#lastId % MAX_PACKET_ID) + 1;
    } while (this.#inflight.has(this.#lastId) || this.#isReserved(this.#lastId));
    return this.#lastId;
  }
}

function outcomeOf(reasonCode: number): OutboundResult {
  return reasonCode < FIRST_FAILURE_CODE ? "acknowledged" : "refused";
}
