import type { Connection } from "./connection.ts";
import { limitsTotal } from "./gateway-metrics.ts";
import { OrderedAcks } from "./ordered-acks.ts";
import { MAX_STRAYS } from "./outbound.ts";
import { Pace } from "./pacing.ts";
import { ConnectionFault, REASON } from "./reason-codes.ts";
import { InboundAliases } from "./topic-aliases.ts";

/** The longest time for which a device that sends too much is not read at once. */
const MAX_PACE_MS = 10_000;

/** What a device has sent and the stores have not yet taken: bounded in number and in bytes. */
export class InboundWindow {
  readonly acks = new OrderedAcks();
  readonly aliases = new InboundAliases();
  /** Identifiers of QoS 2 messages whose PUBREL has not come; `stored` once the PUBREC is sent. */
  readonly unreleased = new Map<number, "storing" | "stored">();
  readonly #connection: Connection;
  #count = 0;
  #acknowledgeable = 0;
  /** Those of QoS 1 among them. */
  #openOnce = 0;
  #bytes = 0;
  readonly #messages: Pace;
  readonly #octets: Pace;
  #held = false;
  #isPaced = false;
  #strays = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(connection: Connection) {
    this.#connection = connection;
    const { limits } = connection.context;
    this.#messages = new Pace(limits.deviceMessageRate, limits.deviceMessageBurst);
    this.#octets = new Pace(limits.deviceByteRate, limits.deviceByteBurst);
  }

  /** Counts a message in; throws when the device sends more than it may. */
  enter(sizeBytes: number, qos: 0 | 1 | 2): void {
    const { limits, load } = this.#connection.context;
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
    this.#count += 1;
    if (qos > 0) this.#acknowledgeable += 1;
    if (qos === 1) this.#openOnce += 1;
    this.#bytes += sizeBytes;
    load.inboundBytes += sizeBytes;
    this.#adjust();
    this.#pace(sizeBytes);
  }

  leave(sizeBytes: number, qos: 0 | 1 | 2): void {
    this.#count -= 1;
    if (qos > 0) this.#acknowledgeable -= 1;
    if (qos === 1) this.#openOnce -= 1;
    this.#bytes -= sizeBytes;
    this.#connection.context.load.inboundBytes -= sizeBytes;
    this.#adjust();
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

  /** Who sends more than its rate, or than its tenant's, is not read for a while. */
  #pace(sizeBytes: number): void {
    const { context, peer } = this.#connection;
    const { clock } = context.deps;
    const now = clock.now();
    const own = Math.max(this.#messages.take(1, now), this.#octets.take(sizeBytes, now));
    const tenants = Math.max(
      context.tenantMessages.take(peer.tenantId, 1, now),
      context.tenantBytes.take(peer.tenantId, sizeBytes, now),
    );
    const delayMs = Math.min(MAX_PACE_MS, Math.max(own, tenants));
    if (delayMs < 1 || this.#isPaced) return;
    this.#isPaced = true;
    limitsTotal.inc({ limit: own >= tenants ? "device-rate" : "tenant-rate" });
    this.#connection.hold();
    clock.after(delayMs, () => {
      this.#isPaced = false;
      this.#connection.release();
    });
  }

  /** Reading stops while the window is full. */
  #adjust(): void {
    const { limits } = this.#connection.context;
    // In MQTT 5 the Receive Maximum bounds what is acknowledged; QoS 0 has no bound but this.
    const unbounded = this.#connection.version === 5 ? this.#acknowledgeable : 0;
    const full =
      this.#count - unbounded >= limits.inboundInflight || this.#bytes >= limits.inboundBytes;
    if (full === this.#held) return;
    this.#held = full;
    if (full) this.#connection.hold();
    else this.#connection.release();
  }
}
