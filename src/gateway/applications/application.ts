import type { Packet } from "mqtt-packet";
import type { WebSocket } from "ws";
import { assert, LIMITS, messageOf } from "../../kernel/index.ts";
import type { Principal } from "../../tenancy/index.ts";
import { type ProtocolVersion, readConnect, readPacket, writePacket } from "../codec.ts";
import { Framer } from "../framer.ts";
import { Outbound } from "../outbound.ts";
import { type PassedMessage, remainingExpiry } from "../passed-properties.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";
import { InboundAliases } from "../topic-aliases.ts";
import { mayHear } from "./access.ts";
import { handleApplicationConnect } from "./application-connect.ts";
import type { ApplicationDeps, ApplicationLimits } from "./application-deps.ts";
import { handleApplicationPacket } from "./application-packets.ts";
import type { Hub, Listener, Listening } from "./hub.ts";

const KEEP_ALIVE_FACTOR = 1.5;
/** How long a client may take to answer the closing of its WebSocket. */
const CLOSE_TIMEOUT_MS = 2_000;
/** RFC 6455 §7.4.1: normal closure. */
const NORMAL_CLOSURE = 1000;

/** What the applications of one process share. */
export interface ApplicationContext {
  deps: ApplicationDeps;
  limits: ApplicationLimits;
  hub: Hub;
  /** By key and client id: the newer of two ends the older one. */
  byClient: Map<string, Application>;
  /** Takes an order's place in the key's allowance; false when it is used up. */
  mayCommand(keyId: string): boolean;
}

export interface ApplicationSession {
  principal: Principal;
  token: string;
  clientKey: string;
  version: ProtocolVersion;
  keepAliveSeconds: number;
  receiveMaximum: number;
  maxPacketBytes: number;
  topicAliasMaximum: number;
}

interface Waiting {
  message: PassedMessage;
  qos: 0 | 1 | 2;
  identifiers: number[];
}

/** One connection of a tenant's application: MQTT over a WebSocket (MQTT 5.0 §6). */
export class Application implements Listener {
  readonly context: ApplicationContext;
  readonly subscriptions = new Map<string, Listening>();
  readonly aliases = new InboundAliases();
  /** Identifiers of QoS 2 orders that are not released. */
  readonly unreleased = new Set<number>();
  readonly #socket: WebSocket;
  readonly #framer = new Framer();
  readonly #startedAt: number;
  #session: ApplicationSession | undefined;
  #outbound: Outbound | undefined;
  #state: "waiting" | "authenticating" | "open" | "closed" = "waiting";
  #lastHeardAt: number;
  #checkedAt: number;
  #waiting: Waiting[] = [];
  #pending = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(socket: WebSocket, context: ApplicationContext) {
    this.context = context;
    this.#socket = socket;
    this.#startedAt = context.deps.clock.now();
    this.#lastHeardAt = this.#startedAt;
    this.#checkedAt = this.#startedAt;
    socket.on("message", (data: Buffer, isBinary) => this.#onFrame(data, isBinary));
    socket.on("error", () => this.finish());
    socket.on("close", () => this.finish());
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get session(): ApplicationSession {
    assert(this.#session, "the session is known once the connection is open");
    return this.#session;
  }

  get outbound(): Outbound {
    assert(this.#outbound, "messages go out once the connection is open");
    return this.#outbound;
  }

  open(session: ApplicationSession): void {
    this.#session = session;
    this.#state = "open";
    this.#outbound = new Outbound({
      write: (bytes) => this.#write(bytes),
      version: session.version,
      window: Math.min(session.receiveMaximum, this.context.limits.outboundInflight),
      maxPacketBytes: session.maxPacketBytes,
      topicAliasMaximum: session.topicAliasMaximum,
      save: async () => true,
    });
  }

  send(packet: Packet, version = this.#session?.version ?? 5): void {
    if (this.#state !== "closed") this.#write(writePacket(packet, version));
  }

  /** A message for one of its subscriptions; whether it may have it is asked each time. */
  deliver(message: PassedMessage, match: { qos: 0 | 1 | 2; identifiers: number[] }): boolean {
    if (!this.isOpen || !mayHear(this.session.principal, message.topic)) return false;
    if (this.#waiting.length >= this.context.limits.waiting) {
      // MQTT 5.0 §4.13: who does not keep up is told so; what waits is dropped with the connection.
      this.fail(new ConnectionFault(REASON.quotaExceeded, "too many messages are not taken"));
      return false;
    }
    this.#waiting.push({ message, ...match });
    this.drain();
    return true;
  }

  /** Sends what waits, as far as the application's window lets it through. */
  drain(): void {
    while (this.#waiting.length > 0 && this.isOpen) {
      const { message, qos, identifiers } = this.#waiting[0] as Waiting;
      if (qos > 0 && this.outbound.free <= 0) return;
      this.#waiting.shift();
      const expiry = remainingExpiry(message, this.context.deps.clock.now());
      if (!expiry) continue;
      const subscription = identifiers.length === 0 ? {} : { subscriptionIdentifier: identifiers };
      const properties = { ...message.properties, ...expiry, ...subscription };
      const { topic, payload } = message;
      void this.outbound.send({ topic, payload, qos, properties });
    }
  }

  /** Runs the orders of one application one after the other; bounded by the Receive Maximum. */
  inOrder(work: () => Promise<void>): void {
    const { inboundInflight } = this.context.limits;
    if (this.#pending >= inboundInflight && this.session.version === 5) {
      // MQTT 5.0 §3.3.4 [MQTT-3.3.4-8]: more than our Receive Maximum.
      throw new ConnectionFault(REASON.receiveMaximumExceeded, "too many orders at once");
    }
    this.#pending += 1;
    // MQTT 3.1.1 knows no maximum: there the socket is not read meanwhile.
    if (this.#pending >= inboundInflight) this.#socket.pause();
    this.#tail = this.#tail.then(work).then(
      () => this.#leave(),
      (error) => {
        this.#leave();
        this.#onFault(error);
      },
    );
  }

  /** Says why, as far as the protocol can, and closes. */
  fail(fault: ConnectionFault): void {
    if (this.#state === "closed") return;
    if (this.isOpen && this.session.version === 5) {
      const properties = { reasonString: fault.message };
      this.send({ cmd: "disconnect", reasonCode: fault.reason, properties });
    }
    this.close();
  }

  close(): void {
    this.finish();
    const timer = this.context.deps.clock.after(CLOSE_TIMEOUT_MS, () => this.#socket.terminate());
    this.#socket.once("close", () => timer.cancel());
    this.#socket.close(NORMAL_CLOSURE);
  }

  /** Forgets the connection, once. */
  finish(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#outbound?.close();
    this.#waiting = [];
    this.context.hub.leave(this);
    const { byClient } = this.context;
    const key = this.#session?.clientKey;
    if (key !== undefined && byClient.get(key) === this) byClient.delete(key);
  }

  /** Called about once a second. */
  check(nowMs: number): void {
    const { limits } = this.context;
    if (this.#socket.bufferedAmount > limits.outboundBytes) this.#terminate();
    else if (!this.isOpen && nowMs - this.#startedAt > limits.connectTimeoutMs) this.#terminate();
    else if (this.isOpen) this.#checkOpen(nowMs);
  }

  #checkOpen(nowMs: number): void {
    // MQTT 5.0 §3.1.2.10 [MQTT-3.1.2-22].
    const patienceMs = this.session.keepAliveSeconds * 1_000 * KEEP_ALIVE_FACTOR;
    if (!this.#socket.isPaused && nowMs - this.#lastHeardAt > patienceMs) {
      this.fail(new ConnectionFault(REASON.keepAliveTimeout, "nothing heard for too long"));
    } else if (nowMs - this.#checkedAt >= this.context.limits.recheckMs) {
      this.#checkedAt = nowMs;
      void this.#recheck();
    }
  }

  /** The key may have been revoked since, or have another role. */
  async #recheck(): Promise<void> {
    try {
      const principal = await this.context.deps.tenancy.authenticate(this.session.token);
      if (this.isOpen) this.#session = { ...this.session, principal };
    } catch {
      this.fail(new ConnectionFault(REASON.notAuthorized, "the key is not valid any more"));
    }
  }

  #onFrame(data: Buffer, isBinary: boolean): void {
    this.#lastHeardAt = this.context.deps.clock.now();
    if (!isBinary) {
      // MQTT 5.0 §6 [MQTT-6.0.0-1]: MQTT is in binary frames, or the connection ends.
      this.close();
      return;
    }
    // MQTT 5.0 §6 [MQTT-6.0.0-2]: packets need not begin or end with a frame.
    this.#framer.push(data);
    this.#readOn();
  }

  #readOn(): void {
    try {
      while (this.#state === "waiting" || this.#state === "open") {
        const bytes = this.#framer.next(LIMITS.mqttPacketBytes);
        if (!bytes) return;
        if (this.#state === "waiting") this.#begin(bytes);
        else handleApplicationPacket(this, readPacket(bytes, this.session.version));
      }
    } catch (error) {
      this.#onFault(error);
    }
  }

  #begin(bytes: Buffer): void {
    const packet = readConnect(bytes);
    this.#state = "authenticating";
    this.#socket.pause();
    handleApplicationConnect(this, packet)
      .catch((error) => this.#onFault(error))
      .finally(() => {
        this.#socket.resume();
        this.#readOn();
      });
  }

  #onFault(error: unknown): void {
    if (error instanceof ConnectionFault) {
      this.fail(error);
      return;
    }
    const { logger } = this.context.deps;
    logger.error({ error: messageOf(error) }, "a packet of an application could not be handled");
    this.fail(new ConnectionFault(REASON.serverBusy, "an error of the platform"));
  }

  #leave(): void {
    this.#pending -= 1;
    if (this.#pending < this.context.limits.inboundInflight) this.#socket.resume();
  }

  #write(bytes: Buffer): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(bytes);
    if (this.#socket.bufferedAmount > this.context.limits.outboundBytes) this.#terminate();
  }

  #terminate(): void {
    this.finish();
    this.#socket.terminate();
  }
}
