import type net from "node:net";
import type { Clock, Timer } from "../kernel/index.ts";
import { admissionGauge, connectsTotal } from "./gateway-metrics.ts";

/** A handshake that takes longer waits for its client, and costs us nothing meanwhile. */
const SLOT_MS = 1_000;

interface Waiting {
  socket: net.Socket;
  timer: Timer;
}

interface AdmissionOptions {
  clock: Clock;
  /** Handshakes at a time. */
  slots: number;
  /** Sockets that may wait, and for how long. */
  queue: number;
  patienceMs: number;
  admit(socket: net.Socket): void;
}

/**
 * Lets a storm of connections in one after the other: some handshakes at a time, the rest waits in
 * the order of its coming, as bare sockets of which nothing is read. So everybody gets in, those
 * who are in are still served, and what waits costs little.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #waiting = new Map<net.Socket, Waiting>();
  /** Name of a socket in its handshake -> what gives its slot back. */
  readonly #inProgress = new Map<string, () => void>();

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** A new socket: admitted now or later, or refused where too many wait. */
  enter(socket: net.Socket): void {
    const { slots, queue, clock, patienceMs } = this.#options;
    if (this.#inProgress.size < slots) {
      this.#admit(socket);
      return;
    }
    if (this.#waiting.size >= queue) {
      connectsTotal.inc({ outcome: "queue-full" });
      socket.destroy();
      return;
    }
    const timer = clock.after(patienceMs, () => {
      connectsTotal.inc({ outcome: "waited-too-long" });
      socket.destroy();
    });
    this.#waiting.set(socket, { socket, timer });
    admissionGauge.set(this.#waiting.size);
    socket.once("close", () => this.#forget(socket));
  }

  /** The handshake of this socket is over, whatever came of it. */
  leave(socket: Pick<net.Socket, "remoteAddress" | "remotePort">): void {
    this.#inProgress.get(nameOf(socket))?.();
  }

  close(): void {
    for (const { socket, timer } of this.#waiting.values()) {
      timer.cancel();
      socket.destroy();
    }
    this.#waiting.clear();
    for (const free of [...this.#inProgress.values()]) free();
  }

  #admit(socket: net.Socket): void {
    const name = nameOf(socket);
    const timer = this.#options.clock.after(SLOT_MS, free);
    const inProgress = this.#inProgress;
    const next = () => this.#next();
    function free(): void {
      if (inProgress.get(name) !== free) return;
      inProgress.delete(name);
      timer.cancel();
      next();
    }
    inProgress.set(name, free);
    socket.once("close", free);
    this.#options.admit(socket);
  }

  #next(): void {
    const [first] = this.#waiting.values();
    if (!first || this.#inProgress.size >= this.#options.slots) return;
    this.#forget(first.socket);
    this.#admit(first.socket);
  }

  #forget(socket: net.Socket): void {
    this.#waiting.get(socket)?.timer.cancel();
    this.#waiting.delete(socket);
    admissionGauge.set(this.#waiting.size);
  }
}

function nameOf({ remoteAddress, remotePort }: Pick<net.Socket, "remoteAddress" | "remotePort">) {
  return `${remoteAddress} ${remotePort}`;
}
