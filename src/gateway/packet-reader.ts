import type tls from "node:tls";
import { type Clock, LIMITS } from "../kernel/index.ts";
import { Framer } from "./framer.ts";
import { bytesIn, pausesTotal } from "./gateway-metrics.ts";

/** A CONNECT holds at most a will's payload of 64 KiB and some names. */
const MAX_CONNECT_BYTES = 80 * 1024;

interface Sink {
  /** Until then a packet may be no larger than a CONNECT can be. */
  isOpen(): boolean;
  isClosed(): boolean;
  onPacket(bytes: Buffer): void;
  onFault(error: unknown): void;
}

/** Cuts what arrives on a socket into packets, and hands them over as long as nobody asks to wait. */
export class PacketReader {
  readonly #socket: tls.TLSSocket;
  readonly #clock: Clock;
  readonly #sink: Sink;
  readonly #framer = new Framer();
  #holds = 0;
  #isPaused = false;
  #receivedBytes = 0;
  #lastHeardAt: number;
  #packetSince: number | undefined;

  constructor(socket: tls.TLSSocket, clock: Clock, sink: Sink) {
    this.#socket = socket;
    this.#clock = clock;
    this.#sink = sink;
    this.#lastHeardAt = clock.now();
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
  }

  get lastHeardAt(): number {
    return this.#lastHeardAt;
  }

  /** Since when a packet has been incomplete; undefined where none is. */
  get packetSince(): number | undefined {
    return this.#packetSince;
  }

  get isHeld(): boolean {
    return this.#holds > 0;
  }

  /** Bytes of MQTT so far, without TLS. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /**
   * Handles no more packets until `release` has been called as often. The socket itself is stopped
   * by the first bytes that then wait: most holds are over before any have come.
   */
  hold(): void {
    this.#holds += 1;
  }

  release(): void {
    this.#holds -= 1;
    if (this.#holds > 0 || this.#sink.isClosed()) return;
    this.#drain();
    if (this.#holds > 0 || !this.#isPaused) return;
    this.#isPaused = false;
    this.#socket.resume();
  }

  #onData(chunk: Buffer): void {
    if (this.#sink.isClosed()) return;
    this.#lastHeardAt = this.#clock.now();
    this.#receivedBytes += chunk.length;
    bytesIn.inc(chunk.length);
    this.#framer.push(chunk);
    this.#drain();
  }

  #drain(): void {
    try {
      while (this.#holds === 0 && !this.#sink.isClosed()) {
        const bytes = this.#framer.next(
          this.#sink.isOpen() ? LIMITS.mqttPacketBytes : MAX_CONNECT_BYTES,
        );
        if (!bytes) break;
        this.#sink.onPacket(bytes);
      }
    } catch (error) {
      this.#sink.onFault(error);
    }
    const isWaiting = this.#framer.size > 0;
    this.#packetSince = isWaiting ? (this.#packetSince ?? this.#lastHeardAt) : undefined;
    // With the socket stopped the peer's end is not seen before what it has said has been handled.
    if (!isWaiting || this.#holds === 0 || this.#isPaused) return;
    this.#isPaused = true;
    this.#socket.pause();
    pausesTotal.inc();
  }
}
