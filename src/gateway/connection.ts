import type tls from "node:tls";
import type { Packet } from "mqtt-packet";
import { assert, messageOf } from "../kernel/index.ts";
import { type ProtocolVersion, readConnect, readPacket, writeWithin } from "./codec.ts";
import type { GatewayContext } from "./context.ts";
import { Deliveries } from "./deliveries.ts";
import type { GatewayPeer } from "./deps.ts";
import { bytesOut, disconnectsTotal } from "./gateway-metrics.ts";
import { InboundWindow } from "./inbound-window.ts";
import { overdue, restsUntil } from "./liveness.ts";
import { Outbound } from "./outbound.ts";
import { Output } from "./output.ts";
import { PacketReader } from "./packet-reader.ts";
import { handleConnect } from "./packets/connect.ts";
import { handlePacket } from "./packets/index.ts";
import { publishWillNow, type Will } from "./packets/will.ts";
import { ConnectionFault, REASON, reasonName } from "./reason-codes.ts";
import { Session } from "./session.ts";
import type { ClaimedSession } from "./sessions-store.ts";
import { Subscriptions } from "./subscriptions.ts";

/** What is left of a connection after its last packet was written. */
const LINGER_MS = 2_000;
const TAKEN_OVER = reasonName(REASON.sessionTakenOver);
const REPORT_RETRY_MS = 5_000;
/** How often it is looked whether the authorities are still those that the device was told. */
const AUTHORITIES_INTERVAL_MS = 60_000;

export interface OpenOptions {
  peer: GatewayPeer;
  version: ProtocolVersion;
  keepAliveSeconds: number;
  will: Will | undefined;
  receiveMaximum: number;
  maxPacketBytes: number;
  topicAliasMaximum: number;
  wantsReasons: boolean;
  claimed: ClaimedSession;
  sessionExpirySeconds: number;
}

/** One device's connection, from its TLS handshake to its end. */
export class Connection {
  readonly id: string;
  readonly context: GatewayContext;
  readonly subscriptions: Subscriptions;
  readonly inbound: InboundWindow;
  readonly #socket: tls.TLSSocket;
  readonly #reader: PacketReader;
  readonly #output: Output;
  readonly #startedAt: number;
  #state: "waiting" | "authenticating" | "open" | "closed" = "waiting";
  #options: OpenOptions | undefined;
  #outbound: Outbound | undefined;
  #deliveries: Deliveries | undefined;
  #session: Session | undefined;
  #sentBytes = 0;
  #authoritiesAt: number;
  /** Until then no time can run out, if nothing comes and nothing waits. */
  #restsUntil = 0;

  constructor(socket: tls.TLSSocket, context: GatewayContext) {
    this.context = context;
    this.id = context.nextConnectionId();
    this.#socket = socket;
    this.#output = new Output(socket);
    this.#startedAt = context.deps.clock.now();
    this.#authoritiesAt = this.#startedAt;
    this.subscriptions = new Subscriptions(context.limits.subscriptions);
    this.inbound = new InboundWindow(this);
    this.#reader = new PacketReader(socket, context.deps.clock, {
      isOpen: () => this.isOpen,
      isClosed: () => this.isClosed,
      onPacket: (bytes) => this.#onPacket(bytes),
      onFault: (error) => this.#onFault(error),
    });
    socket.on("error", (error) => this.finish(`connection error: ${messageOf(error)}`));
    socket.on("close", () => this.finish("the device closed the connection"));
  }

  get socket(): tls.TLSSocket {
    return this.#socket;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get isClosed(): boolean {
    return this.#state === "closed";
  }

  get peer(): GatewayPeer {
    assert(this.#options, "the peer is known once the connection is open");
    return this.#options.peer;
  }

  get version(): ProtocolVersion {
    return this.#options?.version ?? 5;
  }

  get outbound(): Outbound {
    assert(this.#outbound, "messages go out once the connection is open");
    return this.#outbound;
  }

  get deliveries(): Deliveries {
    assert(this.#deliveries, "deliveries begin once the connection is open");
    return this.#deliveries;
  }

  get session(): Session {
    assert(this.#session, "the session is known once the connection is open");
    return this.#session;
  }

  /** The identity is known and the connection accepted; the caller sends the CONNACK next. */
  open(options: OpenOptions): void {
    this.#options = options;
    this.#state = "open";
    const session = new Session(this, options.claimed, {
      expirySeconds: options.sessionExpirySeconds,
      hasWill: options.will !== undefined,
    });
    this.#session = session;
    this.#outbound = new Outbound({
      write: (bytes) => this.#write(bytes),
      version: options.version,
      window: Math.min(options.receiveMaximum, this.context.limits.outboundInflight),
      maxPacketBytes: options.maxPacketBytes,
      topicAliasMaximum: options.topicAliasMaximum,
      save: () => session.save(),
    });
    const { subscriptions, received } = options.claimed.state;
    this.subscriptions.restore(subscriptions);
    this.subscriptions.review(options.peer);
    for (const id of received) this.inbound.unreleased.set(id, "stored");
    this.#deliveries = new Deliveries(this, this.context);
    this.#reportConnected();
  }

  /** Whether the device may do no more than renew its certificate and be updated. */
  get isQuarantined(): boolean {
    return this.#options?.peer.quarantined === true;
  }

  /** The quarantine was set or lifted while the device is connected. */
  setQuarantined(quarantined: boolean): void {
    if (!this.#options || quarantined === this.isQuarantined) return;
    this.#options = { ...this.#options, peer: { ...this.#options.peer, quarantined } };
    // Commands have waited for the end of the quarantine.
    if (!quarantined && this.isOpen) this.deliveries.wake("command");
  }

  /** `maxBytes` is what the device takes; it is known once the connection is open. */
  send(packet: Packet, version = this.version, maxBytes = this.#options?.maxPacketBytes): void {
    if (this.#state === "closed") return;
    const bytes = writeWithin(packet, version, maxBytes ?? Number.POSITIVE_INFINITY);
    if (bytes) this.#write(bytes);
  }

  /** A whole packet as it goes out. */
  sendBytes(bytes: Buffer): void {
    if (this.#state !== "closed") this.#write(bytes);
  }

  /** Whether the device wants to be told in words why something failed (MQTT 5.0 §3.1.2.11.7). */
  reasonString(text: string): { reasonString: string } | undefined {
    return this.#options?.version === 5 && this.#options.wantsReasons
      ? { reasonString: text.slice(0, 256) }
      : undefined;
  }

  /** Bytes of MQTT in this connection's life, without TLS. */
  get traffic(): { received: number; sent: number } {
    return { received: this.#reader.receivedBytes, sent: this.#sentBytes };
  }

  /** Topic filters and messages under way, for the gateway's figures. */
  get counts(): { subscriptions: number; inboundMessages: number; outboundMessages: number } {
    return {
      subscriptions: this.subscriptions.size,
      inboundMessages: this.inbound.count,
      outboundMessages: this.#outbound?.size ?? 0,
    };
  }

  /** Stops reading until `release` has been called as often. */
  hold(): void {
    this.#reader.hold();
  }

  release(): void {
    this.#reader.release();
  }

  /** Says why, as far as the protocol can, and ends the connection; `quietly` without the will. */
  fail(fault: ConnectionFault, quietly = false): void {
    if (this.#state === "closed") return;
    if (this.#state === "open" && this.version === 5) {
      const reason = this.reasonString(fault.message);
      this.send({
        cmd: "disconnect",
        reasonCode: fault.reason,
        ...(reason ? { properties: reason } : {}),
      });
    }
    this.end(fault.message, reasonName(fault.reason), quietly);
  }

  /** The device has connected again, here or elsewhere, and perhaps goes on with this session. */
  takeOver(isResumed: boolean): void {
    // MQTT 5.0 §3.1.3.2.2 [MQTT-3.1.3-9]: a session that goes on takes a will that waits along.
    // What is on record the newer connection's claim has seen to, in the database.
    const isOurs = this.#session?.isWillArmed !== true;
    const isWillLeft = isOurs && (!isResumed || (this.#options?.will?.delaySeconds ?? 0) === 0);
    const why = "the device has connected again";
    this.fail(new ConnectionFault(REASON.sessionTakenOver, why), !isWillLeft);
  }

  /** Ends the connection after what has been written; the will is published unless `quietly`. */
  end(why: string, metric: string, quietly = false): void {
    this.finish(why, metric, quietly);
    this.#output.flush();
    const timer = this.context.deps.clock.after(LINGER_MS, () => this.#socket.destroy());
    this.#socket.once("close", () => timer.cancel());
    this.#socket.destroySoon();
  }

  /** Ends the connection if time has run out for it: called about once a second. */
  check(nowMs: number): void {
    if (nowMs < this.#restsUntil && this.#isResting) return;
    const options = this.#options;
    const facts = {
      startedAt: this.#startedAt,
      accepted: options && {
        keepAliveSeconds: options.keepAliveSeconds,
        notAfterMs: options.peer.notAfter.getTime(),
      },
      lastHeardAt: this.#reader.lastHeardAt,
      packetSince: this.#reader.packetSince,
      isHeld: this.#reader.isHeld,
      unwrittenBytes: this.#output.waitingBytes,
    };
    const due = overdue(facts, this.context.limits, nowMs);
    if (due?.kind === "drop") this.#destroy(due.why);
    else if (due) this.fail(due.fault);
    else if (this.isOpen && this.inbound.review(nowMs)) {
      this.fail(new ConnectionFault(REASON.serverBusy, "a store does not answer"));
    } else if (this.isOpen && nowMs - this.#authoritiesAt >= AUTHORITIES_INTERVAL_MS) {
      this.#authoritiesAt = nowMs;
      this.deliveries.wake("authorities");
      this.deliveries.wake("trust");
    }
    this.#restsUntil = Math.min(restsUntil(facts), this.#authoritiesAt + AUTHORITIES_INTERVAL_MS);
  }

  /** Nearly all connections at nearly all times: a look at them costs next to nothing. */
  get #isResting(): boolean {
    return this.#reader.packetSince === undefined && this.inbound.isEmpty;
  }

  /** Forgets the connection, once; the socket may live on for its last bytes. */
  finish(why: string, metric = "closed", quietly = false): void {
    if (this.#state === "closed") return;
    const wasOpen = this.#state === "open";
    this.#state = "closed";
    disconnectsTotal.inc({ reason: metric });
    if (!wasOpen) return;
    this.context.registry.release(this.peer, this);
    const will = quietly ? undefined : this.#options?.will;
    // What is under way is part of the session: before it is given up.
    const isKept = metric === TAKEN_OVER ? false : (this.#session?.end(will) ?? false);
    this.#outbound?.close();
    const { devices, logger } = this.context.deps;
    devices.disconnected(this.peer, { connectionId: this.id, reason: why }).catch((error) => {
      logger.warn({ error: messageOf(error) }, "the end of a connection could not be recorded");
    });
    if (will && !isKept) {
      void publishWillNow(this.context, this.peer, will).then((isPublished) =>
        this.#session?.settleWill(isPublished),
      );
    }
  }

  #onPacket(bytes: Buffer): void {
    if (this.#state === "waiting") this.#begin(bytes);
    else handlePacket(this, readPacket(bytes, this.version), bytes.length);
  }

  #begin(bytes: Buffer): void {
    const packet = readConnect(bytes);
    this.#state = "authenticating";
    // What follows the CONNECT at once is read when it has been answered.
    this.hold();
    handleConnect(this, packet)
      .catch((error) => this.#onFault(error))
      .finally(() => {
        this.context.answered(this.#socket);
        this.release();
      });
  }

  #onFault(error: unknown): void {
    if (error instanceof ConnectionFault) {
      if (this.#state === "waiting" && error.reason === REASON.unsupportedProtocolVersion) {
        this.#refuseVersion();
      }
      this.fail(error);
      return;
    }
    this.context.deps.logger.error({ err: error }, "a packet could not be handled");
    this.fail(new ConnectionFault(REASON.serverBusy, "an error of the platform"));
  }

  /** MQTT 5.0 §3.1.2.2 [MQTT-3.1.2-2]: an unknown version is told so in the form of 3.1.1. */
  #refuseVersion(): void {
    this.send({ cmd: "connack", returnCode: 1, sessionPresent: false }, 4);
  }

  #write(bytes: Buffer): void {
    this.#sentBytes += bytes.length;
    bytesOut.inc(bytes.length);
    this.#output.write(bytes);
    if (this.#output.waitingBytes > this.context.limits.outboundBytes) this.#destroy("slow reader");
  }

  #destroy(why: string): void {
    this.finish(why, why);
    this.#socket.destroy();
  }

  #reportConnected(): void {
    if (!this.isOpen) return;
    const { devices, clock } = this.context.deps;
    const connection = { gatewayId: this.context.gatewayId, connectionId: this.id };
    devices.connected(this.peer, connection).catch(() => {
      // The database is away: the registry learns of the connection when it is back.
      clock.after(REPORT_RETRY_MS, () => this.#reportConnected());
    });
  }
}
