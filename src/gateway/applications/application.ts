import type { Packet } from "mqtt-packet";
import { assert, LIMITS, messageOf } from "../../kernel/index.ts";
import { type ProtocolVersion, readConnect, readPacket, writeWithin } from "../codec.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { StoredQueue } from "../exchange/stored-queue.ts";
import { Framer } from "../framer.ts";
import { Outbound } from "../outbound.ts";
import { type PassedMessage, remainingExpiry } from "../passed-properties.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";
import { InboundAliases } from "../topic-aliases.ts";
import { mayHear, readFilter } from "./access.ts";
import type { Authenticate, Credentials } from "./application-authentication.ts";
import { handleApplicationConnect } from "./application-connect.ts";
import type { ApplicationDeps, ApplicationLimits } from "./application-deps.ts";
import { handleApplicationPacket } from "./application-packets.ts";
import { type ClaimedApplication, KeptSession } from "./application-session.ts";
import type { HowToDeliver, Hub, Listener, Listening } from "./hub.ts";
import { MessageLine } from "./message-line.ts";
import type { Transport } from "./transport.ts";

const KEEP_ALIVE_FACTOR = 1.5;
/** How long a client may take to answer the closing of its connection. */
const CLOSE_TIMEOUT_MS = 2_000;

/** What the applications of one process share. */
export interface ApplicationContext {
  deps: ApplicationDeps;
  limits: ApplicationLimits;
  hub: Hub;
  /** By key and client id: the newer of two ends the older one. */
  byClient: Map<string, Application>;
  /** What applications tell one another; undefined without a database. */
  exchange: Exchange | undefined;
  /** Takes an order's place in the key's allowance; false when it is used up. */
  mayCommand(keyId: string): boolean;
  /** The same for a message to the other applications. */
  mayTell(keyId: string): boolean;
}

export interface ApplicationSession extends Credentials {
  clientKey: string;
  version: ProtocolVersion;
  keepAliveSeconds: number;
  /** Whether it is to be told in words why something was refused (MQTT 5.0 §3.1.2.11.7). */
  wantsReasons: boolean;
  receiveMaximum: number;
  maxPacketBytes: number;
  topicAliasMaximum: number;
  /** What is kept of it in the database; undefined where nothing can be. */
  claimed: ClaimedApplication | undefined;
}

interface Waiting extends HowToDeliver {
  message: PassedMessage;
}

/** One connection of a tenant's application: over a WebSocket, or over mutual TLS. */
export class Application implements Listener {
  readonly context: ApplicationContext;
  readonly subscriptions = new Map<string, Listening>();
  readonly aliases = new InboundAliases();
  /** Identifiers of QoS 2 orders that are not released. */
  readonly unreleased = new Set<number>();
  readonly authenticate: Authenticate;
  readonly #transport: Transport;
  readonly #framer = new Framer();
  readonly #startedAt: number;
  #session: ApplicationSession | undefined;
  #outbound: Outbound | undefined;
  #state: "waiting" | "authenticating" | "open" | "closed" = "waiting";
  #lastHeardAt: number;
  #checkedAt: number;
  #waiting: Waiting[] = [];
  #strays = 0;
  #kept: KeptSession | undefined;
  #queue: StoredQueue | undefined;
  #isTakenOver = false;
  #line: MessageLine | undefined;

  constructor(transport: Transport, authenticate: Authenticate, context: ApplicationContext) {
    this.context = context;
    this.authenticate = authenticate;
    this.#transport = transport;
    this.#startedAt = context.deps.clock.now();
    this.#lastHeardAt = this.#startedAt;
    this.#checkedAt = this.#startedAt;
    transport.start({
      onData: (bytes) => this.#onData(bytes),
      onClosed: () => this.finish(),
    });
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get isClosed(): boolean {
    return this.#state === "closed";
  }

  get session(): ApplicationSession {
    assert(this.#session, "the session is known once the connection is open");
    return this.#session;
  }

  get outbound(): Outbound {
    assert(this.#outbound, "messages go out once the connection is open");
    return this.#outbound;
  }

  get clientKey(): string {
    return this.session.clientKey;
  }

  get hasQueue(): boolean {
    return this.#kept?.isKept === true;
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
      save: () => this.save(),
    });
    this.#line = new MessageLine({
      limit: this.context.limits.inboundInflight,
      isBoundedByProtocol: session.version === 5,
      unreleased: this.unreleased,
      pause: () => this.#transport.pause(),
      resume: () => this.#transport.resume(),
      onError: (error) => this.#onFault(error),
    });
    const { exchange } = this.context;
    const { claimed } = session;
    if (!exchange || !claimed) return;
    this.#kept = new KeptSession(this, exchange, claimed);
    this.#queue = queueOf(this, exchange, claimed);
    for (const { filter, ...rest } of claimed.state.subscriptions) {
      const asked = readFilter(session.principal, filter);
      // The role may be another one since.
      if (typeof asked === "string") continue;
      const { qos, identifier, noLocal = false, retainAsPublished = false } = rest;
      this.subscriptions.set(filter, { ...asked, qos, identifier, noLocal, retainAsPublished });
      this.context.hub.join(asked.tenantId, this);
    }
    for (const id of claimed.state.received) this.unreleased.add(id);
  }

  /** Goes on where the session's earlier connection has ended; called after the CONNACK. */
  resume(): void {
    if (!this.session.claimed?.resumed) return;
    this.outbound.resume(this.session.claimed.state.inflight);
    this.wake();
  }

  /** Makes the session's state durable; false when it belongs to a newer connection by now. */
  save(): Promise<boolean> {
    return this.#kept?.save() ?? Promise.resolve(true);
  }

  /** Something waits in the session's own queue, or there is room for it. */
  wake(): void {
    // A session that goes on has its queue, also where it is to end with this connection.
    if (this.isOpen && (this.hasQueue || this.session.claimed?.resumed)) this.#queue?.wake();
  }

  countStray(): number {
    this.#strays += 1;
    return this.#strays;
  }

  changeExpiry(seconds: number): void {
    this.#kept?.changeExpiry(seconds, this.context.limits.sessionExpirySeconds);
  }

  /** The client has connected again; what its will comes to the newer connection's claim decides. */
  takeOver(): void {
    this.#isTakenOver = true;
    this.fail(new ConnectionFault(REASON.sessionTakenOver, "the client has connected again"));
  }

  send(
    packet: Packet,
    version = this.#session?.version ?? 5,
    maxBytes = this.#session?.maxPacketBytes,
  ): void {
    if (this.#state === "closed") return;
    const bytes = writeWithin(packet, version, maxBytes ?? Number.POSITIVE_INFINITY);
    if (bytes) this.#write(bytes);
  }

  /** A message for one of its subscriptions; whether it may have it is asked each time. */
  deliver(message: PassedMessage, how: HowToDeliver): boolean {
    if (!this.isOpen || !mayHear(this.session.principal, message.topic)) return false;
    if (this.#waiting.length >= this.context.limits.waiting) {
      // MQTT 5.0 §4.13: who does not keep up is told so; what waits is dropped with the connection.
      this.fail(new ConnectionFault(REASON.quotaExceeded, "too many messages are not taken"));
      return false;
    }
    this.#waiting.push({ message, ...how });
    this.drain();
    return true;
  }

  /** Sends what waits, as far as the application's window lets it through. */
  drain(): void {
    while (this.#waiting.length > 0 && this.isOpen) {
      const { message, qos, identifiers, retain } = this.#waiting[0] as Waiting;
      if (qos > 0 && this.outbound.free <= 0) return;
      this.#waiting.shift();
      const expiry = remainingExpiry(message, this.context.deps.clock.now());
      if (!expiry) continue;
      const subscription = identifiers.length === 0 ? {} : { subscriptionIdentifier: identifiers };
      const properties = { ...message.properties, ...expiry, ...subscription };
      const { topic, payload } = message;
      void this.outbound.send({ topic, payload, qos, retain, properties });
    }
    this.wake();
  }

  /** Takes a message after those before it. */
  inOrder(work: () => Promise<void>, qos: 0 | 1 | 2): void {
    this.#line?.add(work, qos);
  }

  /** Says why, as far as the protocol can, and closes. */
  fail(fault: ConnectionFault, quietly = false): void {
    if (this.#state === "closed") return;
    if (this.isOpen && this.session.version === 5) {
      const properties = { reasonString: fault.message };
      this.send({ cmd: "disconnect", reasonCode: fault.reason, properties });
    }
    this.close(quietly);
  }

  /** Ends the connection after what was written; the will is published unless `quietly`. */
  close(quietly = false): void {
    this.finish(quietly);
    const transport = this.#transport;
    const timer = this.context.deps.clock.after(CLOSE_TIMEOUT_MS, () => transport.terminate());
    transport.onceClosed(() => timer.cancel());
    transport.close();
  }

  /** Forgets the connection, once. */
  finish(quietly = false): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    // What is under way is part of the session: before it is given up.
    if (!this.#isTakenOver) this.#kept?.end(!quietly);
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
    if (this.#transport.waitingBytes > limits.outboundBytes) this.#terminate();
    else if (!this.isOpen && nowMs - this.#startedAt > limits.connectTimeoutMs) this.#terminate();
    else if (this.isOpen) this.#checkOpen(nowMs);
  }

  #checkOpen(nowMs: number): void {
    // MQTT 5.0 §3.1.2.10 [MQTT-3.1.2-22].
    const patienceMs = this.session.keepAliveSeconds * 1_000 * KEEP_ALIVE_FACTOR;
    if (!this.#transport.isPaused && nowMs - this.#lastHeardAt > patienceMs) {
      this.fail(new ConnectionFault(REASON.keepAliveTimeout, "nothing heard for too long"));
    } else if (nowMs - this.#checkedAt >= this.context.limits.recheckMs) {
      this.#checkedAt = nowMs;
      void this.recheck();
    }
  }

  /** Key or certificate may have been revoked since, or have another role. */
  async recheck(): Promise<void> {
    if (!this.isOpen) return;
    try {
      const principal = await this.session.recheck();
      if (this.isOpen) this.#session = { ...this.session, principal };
    } catch {
      const what = "the key or certificate is not valid any more";
      this.fail(new ConnectionFault(REASON.notAuthorized, what));
    }
  }

  #onData(data: Buffer): void {
    this.#lastHeardAt = this.context.deps.clock.now();
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
    this.#transport.pause();
    handleApplicationConnect(this, packet)
      .catch((error) => this.#onFault(error))
      .finally(() => {
        this.#transport.resume();
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

  #write(bytes: Buffer): void {
    this.#transport.send(bytes);
    if (this.#transport.waitingBytes > this.context.limits.outboundBytes) this.#terminate();
  }

  #terminate(): void {
    this.finish();
    this.#transport.terminate();
  }
}

function queueOf(
  application: Application,
  exchange: Exchange,
  { tenantId, clientKey }: ClaimedApplication,
): StoredQueue {
  const { clock, logger } = application.context.deps;
  return new StoredQueue(exchange, {
    ...{ tenantId, clientKey, outbound: application.outbound },
    isOpen: () => application.isOpen,
    mayHear: (topic) => mayHear(application.session.principal, topic),
    now: () => clock.now(),
    later: (delayMs, work) => void clock.after(delayMs, work),
    warn: (what, error) => logger.warn({ tenantId, error }, what),
  });
}
