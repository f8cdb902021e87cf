import type net from "node:net";
import type { Clock, Timer } from "../kernel/index.ts";
import type { Random } from "../kernel/random.ts";
import { AdmissionQueue } from "./admission-queue.ts";
import { admissionGauge, admissionSeconds, connectsTotal } from "./gateway-metrics.ts";

/**
 * A handshake that takes longer waits for its client, and costs us nothing meanwhile. With a second, 64
 * slow clients at a time kept 10,000 others out, and what was held for our speed was theirs.
 */
const SLOT_MS = 250;
/** Admissions in one turn of the event loop: between the turns those who are in are served. */
const ADMISSIONS_PER_TURN = 8;
/** Over which time the speed of admission is measured. */
const SPEED_WINDOW_MS = 2_000;
/** From this share of the patience on newcomers are turned away, the more the longer the queue. */
const TURN_AWAY_FROM = 0.5;

interface AdmissionOptions {
  clock: Clock;
  random: Random;
  /** Handshakes at a time. */
  slots: number;
  /** Sockets that may wait, and for how long. */
  queue: number;
  patienceMs: number;
  admit(socket: net.Socket): void;
}

type Endpoint = Pick<net.Socket, "remoteAddress" | "remotePort">;

interface Admitted {
  at: number;
  free(): void;
}

/**
 * Lets a storm of connections in one after the other: some handshakes at a time, the rest waits as
 * bare sockets of which nothing is read. Addresses take turns, so that a flood from one of them does
 * not keep the others out. Who would wait for too long is turned away at once, at random and ever
 * more often as the queue grows: those devices come again at times of their own, and not together.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #queue = new AdmissionQueue();
  /** Name of a socket in its handshake -> its admission. */
  readonly #inProgress = new Map<string, Admitted>();
  readonly #timers = new Map<net.Socket, Timer>();
  #isScheduled = false;
  #isClosed = false;
  #windowStart = 0;
  #admittedInWindow = 0;
  /** Admissions a second in the last window that was busy to its end. */
  #perSecond: number | undefined;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** A new socket: admitted soon, or turned away. */
  enter(socket: net.Socket): void {
    const { queue, clock, patienceMs, random } = this.#options;
    if (this.#queue.size >= queue) {
      this.#refuse(socket, "queue-full");
      return;
    }
    const share = this.#expectedWaitMs(socket) / patienceMs;
    const risk = (share - TURN_AWAY_FROM) / (1 - TURN_AWAY_FROM);
    if (risk > 0 && random.next() < risk) {
      this.#refuse(socket, "turned-away");
      return;
    }
    this.#queue.add(socket, clock.now());
    const late = clock.after(patienceMs, () => this.#refuse(socket, "waited-too-long"));
    this.#timers.set(socket, late);
    admissionGauge.set(this.#queue.size);
    socket.once("close", () => this.#forget(socket));
    this.#schedule();
  }

  /** Milliseconds since this socket was admitted; undefined once its place was given on. */
  sinceAdmitted(socket: Endpoint): number | undefined {
    const admitted = this.#inProgress.get(nameOf(socket));
    return admitted && this.#options.clock.now() - admitted.at;
  }

  /** The connection of this socket has been accepted or refused: its place is free. */
  leave(socket: Endpoint): void {
    this.#inProgress.get(nameOf(socket))?.free();
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    for (const socket of this.#queue.clear()) socket.destroy();
    for (const { free } of [...this.#inProgress.values()]) free();
  }

  #expectedWaitMs(socket: net.Socket): number {
    if (!this.#perSecond) return 0;
    return (this.#queue.placeOf(socket) / this.#perSecond) * 1_000;
  }

  #refuse(socket: net.Socket, outcome: string): void {
    connectsTotal.inc({ outcome });
    socket.destroy();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed || this.#queue.size === 0) return;
    if (this.#inProgress.size >= this.#options.slots) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#admitSome();
      this.#schedule();
    });
  }

  #admitSome(): void {
    for (let count = 0; count < ADMISSIONS_PER_TURN; count += 1) {
      if (this.#isClosed || this.#inProgress.size >= this.#options.slots) return;
      const next = this.#queue.take();
      if (!next) return;
      admissionSeconds.observe((this.#options.clock.now() - next.since) / 1_000);
      this.#forget(next.socket);
      this.#measure();
      this.#admit(next.socket);
    }
  }

  #admit(socket: net.Socket): void {
    const { clock } = this.#options;
    const name = nameOf(socket);
    const inProgress = this.#inProgress;
    const goOn = () => this.#schedule();
    const timer = clock.after(SLOT_MS, free);
    function free(): void {
      if (inProgress.get(name)?.free !== free) return;
      inProgress.delete(name);
      timer.cancel();
      goOn();
    }
    inProgress.set(name, { at: clock.now(), free });
    socket.once("close", free);
    this.#options.admit(socket);
  }

  /** How fast admission goes, as long as somebody always waits. */
  #measure(): void {
    const now = this.#options.clock.now();
    const elapsedMs = now - this.#windowStart;
    this.#admittedInWindow += 1;
    if (this.#queue.size === 0) this.#perSecond = undefined;
    else if (elapsedMs < SPEED_WINDOW_MS) return;
    else if (elapsedMs < 2 * SPEED_WINDOW_MS) {
      this.#perSecond = (this.#admittedInWindow * 1_000) / elapsedMs;
    }
    this.#windowStart = now;
    this.#admittedInWindow = 0;
  }

  #forget(socket: net.Socket): void {
    this.#timers.get(socket)?.cancel();
    this.#timers.delete(socket);
    this.#queue.remove(socket);
    admissionGauge.set(this.#queue.size);
  }
}

function nameOf({ remoteAddress, remotePort }: Endpoint) {
  return `${remoteAddress} ${remotePort}`;
}
