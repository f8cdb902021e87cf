import { LazyMap } from "../kernel/lazy-collections.ts";
import type { DevicePublish } from "../protocol/index.ts";
import type { Connection } from "./connection.ts";
import { limitsTotal, shedTotal } from "./gateway-metrics.ts";
import { ratesOf } from "./limits.ts";
import { OrderedAcks } from "./ordered-acks.ts";
import { MAX_STRAYS } from "./outbound.ts";
import { Allowance } from "./pacing.ts";
import type { JointPublishes } from "./packets/joint-publishes.ts";
import { ConnectionFault, REASON } from "./reason-codes.ts";
import { InboundAliases } from "./topic-aliases.ts";

/** Messages of QoS 0 that may wait for each one that may wait for its acknowledgement. */
const ZEROES_A_PLACE = 4;
/** A message of so many bytes takes the process about twice as long as the smallest. */
const BYTES_A_MESSAGE = 4_096;
/** The longest time for which a device that sends too much is not read at once. */
const MAX_PACE_MS = 10_000;

/** What a device has sent and the stores have not yet taken: bounded in number and in bytes. */
export class InboundWindow {
  readonly acks = new OrderedAcks();
  readonly aliases = new InboundAliases();
  /** The topic that has come last, and what was found of it: most devices say all on one or two. */
  lastTopic: { topic: string; publish: DevicePublish } | undefined;
  /** What waits for the batch of the store that is open, or was when the last of it came. */
  joint: JointPublishes | undefined;
  /** Identifiers of QoS 2 messages whose PUBREL has not come; `stored` once the PUBREC is sent. */
  readonly unreleased = new LazyMap<number, "storing" | "stored">();
  readonly #connection: Connection;
  #count = 0;
  #acknowledgeable = 0;
  /** Those of QoS 1 among them. */
  #openOnce = 0;
  #bytes = 0;
  /** Those of QoS 0 among them. */
  #zeroBytes = 0;
  /** When a message has last been settled, or the first one has come. */
  #progressAt = 0;
  /** Its own, its tenant's and its address's; known with its first message. */
  #allowances: { limit: string; allowance: Allowance }[] | undefined;
  #held = false;
  #isPaced = false;
  #strays = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Counts a message in. False where it is of QoS 0 and there is no room for it: it is dropped.
   * Throws when the device sends more than it may.
   */
  enter(sizeBytes: number, qos: 0 | 1 | 2, now: number): boolean {
    const { limits, load } = this.#connection.context;
    if (qos === 0 && this.#isShed(sizeBytes, now)) return false;
    if (load.inboundBytes + sizeBytes > limits.totalInboundBytes) {
      throw new ConnectionFault(REASON.serverBusy, "the platform has too much to store");
    }
    // MQTT 5.0 §4.9: a QoS 2 message counts until its PUBCOMP.
    const open = this.#openOnce + this.unreleased.size;
    // MQTT 5.0 §3.3.4 [MQTT-3.3.4-8]: more messages than our Receive Maximum.
    if (qos > 0 && this.#connection.version === 5 && open >= limits.inboundInflight) {
      throw new ConnectionFault(REASON.receiveMaximumExceeded, "too many unacknowledged messages");
    }
    if (qos === 2 && this.unreleased.size >= limits.inboundInflight) {
      throw new ConnectionFault(REASON.receiveMaximumExceeded, "too many unreleased messages");
    }
    if (this.#count === 0) this.#progressAt = now;
    this.#count += 1;
    if (qos === 0) this.#zeroBytes += sizeBytes;
    else this.#acknowledgeable += 1;
    if (qos === 1) this.#openOnce += 1;
    this.#bytes += sizeBytes;
    load.inboundBytes += sizeBytes;
    this.#adjust(now);
    this.#pace(sizeBytes, now);
    return true;
  }

  /** So many messages of that QoS, and of so many bytes together, are settled. */
  leave(sizeBytes: number, qos: 0 | 1 | 2, count = 1): void {
    const { context } = this.#connection;
    this.#progressAt = context.deps.clock.now();
    this.#count -= count;
    if (qos === 0) this.#zeroBytes -= sizeBytes;
    else this.#acknowledgeable -= count;
    if (qos === 1) this.#openOnce -= count;
    this.#bytes -= sizeBytes;
    context.load.inboundBytes -= sizeBytes;
    this.#adjust(this.#progressAt);
  }

  forget(joint: JointPublishes): void {
    if (this.joint === joint) this.joint = undefined;
  }

  /**
   * Called about once a second. True where a message has waited so long for a store that its device
   * had better bring it again: stores that do not answer throw nothing.
   */
  review(nowMs: number): boolean {
    if (this.#count > 0) this.#adjust(nowMs);
    const { oldestAt } = this.acks;
    const { storePatienceMs } = this.#connection.context.limits;
    return oldestAt !== undefined && nowMs - oldestAt > storePatienceMs;
  }

  /** Whether nothing waits: neither for a store nor to be acknowledged. */
  get isEmpty(): boolean {
    return this.#count === 0 && this.acks.oldestAt === undefined;
  }

  /** Identifiers of messages that are durable and not released: kept with the session. */
  stored(): number[] {
    return [...this.unreleased].flatMap(([id, state]) => (state === "stored" ? [id] : []));
  }

  /** A release of nothing is answered; a flood of them ends the connection. */
  countStray(): void {
    this.#strays += 1;
    if (this.#strays > MAX_STRAYS) {
      throw new ConnectionFault(REASON.protocolError, "too many releases of nothing");
    }
  }

  /** Runs `work` after what was put in line before; the order of a device's messages is kept. */
  inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work);
    this.#tail = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  /** MQTT 5.0 §4.3.1: QoS 0 arrives once or not at all, so it goes first where there is too much. */
  #isShed(sizeBytes: number, now: number): boolean {
    const { limits, load } = this.#connection.context;
    const isFull = load.inboundBytes > limits.totalInboundBytes * limits.shedShare;
    const isLagging = isFull || (this.#isLagging(now) && this.#isFullOfZeroes());
    const spent = this.#allowancesOf().find(({ allowance }) => allowance.isSpent(sizeBytes, now));
    if (!isLagging && !spent) return false;
    shedTotal.inc({ reason: isLagging ? "stores-lag" : (spent?.limit ?? "") });
    return true;
  }

  /** Who sends more than its rate, its tenant's or its address's, is not read for a while. */
  #pace(sizeBytes: number, now: number): void {
    const { clock } = this.#connection.context.deps;
    let delayMs = 0;
    let met = "";
    for (const { limit, allowance } of this.#allowancesOf()) {
      const waitMs = Math.min(MAX_PACE_MS, allowance.take(sizeBytes, now));
      if (waitMs <= delayMs) continue;
      delayMs = waitMs;
      met = limit;
    }
    const { context, peer } = this.#connection;
    const turnMs = context.fairShare.take(peer.tenantId, 1 + sizeBytes / BYTES_A_MESSAGE);
    if (turnMs > delayMs) {
      delayMs = Math.min(MAX_PACE_MS, turnMs);
      met = "fair-share";
    }
    if (delayMs < 1 || this.#isPaced) return;
    this.#isPaced = true;
    limitsTotal.inc({ limit: met });
    this.#connection.hold();
    clock.after(delayMs, () => {
      this.#isPaced = false;
      this.#connection.release();
    });
  }

  #allowancesOf() {
    const { context, peer, socket } = this.#connection;
    this.#allowances ??= [
      { limit: "device-rate", allowance: new Allowance(ratesOf(context.limits, "device")) },
      { limit: "tenant-rate", allowance: context.tenantAllowances.of(peer.tenantId) },
      {
        limit: "address-rate",
        allowance: context.addressAllowances.of(socket.remoteAddress ?? ""),
      },
    ];
    return this.#allowances;
  }

  /** Messages that wait for the stores. */
  get count(): number {
    return this.#count;
  }

  /** Whether the stores have done nothing for this device's messages for a while. */
  #isLagging(now: number): boolean {
    if (this.#count === 0) return false;
    const { lagMs } = this.#connection.context.limits;
    return now - Math.min(this.#progressAt, this.acks.oldestAt ?? now) > lagMs;
  }

  /**
   * Messages of QoS 0 have half of the room: the rest is for those that must not be lost. They may
   * be many, for they come in bursts and wait for nobody's acknowledgement.
   */
  #isFullOfZeroes(): boolean {
    const { limits } = this.#connection.context;
    return (
      this.#count - this.#acknowledgeable >= limits.inboundInflight * ZEROES_A_PLACE ||
      this.#zeroBytes >= limits.inboundBytes / 2
    );
  }

  /** Reading stops while the window is full. */
  #adjust(now: number): void {
    const { limits } = this.#connection.context;
    // In MQTT 5 the Receive Maximum bounds what is acknowledged; in 3.1.1 nothing does but this.
    const isUnbounded = this.#connection.version !== 5;
    const full =
      (isUnbounded && this.#acknowledgeable >= limits.inboundInflight) ||
      this.#bytes >= limits.inboundBytes ||
      // Where the stores lag, what comes of QoS 0 is read and dropped, so that the rest comes through.
      (this.#isFullOfZeroes() && !this.#isLagging(now));
    if (full === this.#held) return;
    this.#held = full;
    if (full) this.#connection.hold();
    else this.#connection.release();
  }
}
