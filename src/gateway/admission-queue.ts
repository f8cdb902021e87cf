import type net from "node:net";

interface Waiting {
  address: string;
  since: number;
}

/** Sockets that wait, in the order of their coming within an address; addresses take turns. */
export class AdmissionQueue {
  readonly #byAddress = new Map<string, Map<net.Socket, number>>();
  readonly #waiting = new Map<net.Socket, Waiting>();

  get size(): number {
    return this.#waiting.size;
  }

  add(socket: net.Socket, nowMs: number): void {
    const address = socket.remoteAddress ?? "";
    let line = this.#byAddress.get(address);
    if (!line) {
      line = new Map();
      this.#byAddress.set(address, line);
    }
    line.set(socket, nowMs);
    this.#waiting.set(socket, { address, since: nowMs });
  }

  /** How many go before a newcomer from this socket's address, at the most. */
  placeOf(socket: net.Socket): number {
    const own = this.#byAddress.get(socket.remoteAddress ?? "")?.size ?? 0;
    const addresses = this.#byAddress.size + (own === 0 ? 1 : 0);
    return Math.min(this.#waiting.size, (own + 1) * addresses);
  }

  /** The next one: the first of the address whose turn it is. */
  take(): { socket: net.Socket; since: number } | undefined {
    for (const [address, line] of this.#byAddress) {
      // Its next turn comes after all others.
      this.#byAddress.delete(address);
      this.#byAddress.set(address, line);
      const [first] = line;
      if (!first) return undefined;
      const [socket, since] = first;
      this.remove(socket);
      return { socket, since };
    }
    return undefined;
  }

  remove(socket: net.Socket): void {
    const waiting = this.#waiting.get(socket);
    if (!waiting) return;
    this.#waiting.delete(socket);
    const line = this.#byAddress.get(waiting.address);
    line?.delete(socket);
    if (line?.size === 0) this.#byAddress.delete(waiting.address);
  }

  /** Empties the queue; the result is who has waited. */
  clear(): net.Socket[] {
    const sockets = [...this.#waiting.keys()];
    this.#waiting.clear();
    this.#byAddress.clear();
    return sockets;
  }
}
