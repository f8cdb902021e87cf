import type net from "node:net";

/**
 * Waits with the TLS session until a socket's first bytes have come. Who connects and says nothing
 * costs a socket and no more; and OpenSSL's input buffer is made as large as those bytes, where Node
 * would otherwise give 64 KB to each connection for as long as it lives.
 */
export class ClientHellos {
  readonly #onHello: (socket: net.Socket) => void;
  readonly #timeoutMs: number;
  /** Sockets that have said nothing yet, and since when. */
  readonly #silent = new Map<net.Socket, number>();

  constructor(options: { timeoutMs: number; onHello(socket: net.Socket): void }) {
    this.#timeoutMs = options.timeoutMs;
    this.#onHello = options.onHello;
  }

  expect(socket: net.Socket, nowMs: number): void {
    this.#silent.set(socket, nowMs);
    socket.once("readable", () => {
      if (!this.#silent.delete(socket) || socket.destroyed) return;
      // The end of the stream is readable, too.
      if (socket.readableLength === 0) socket.destroy();
      else this.#onHello(socket);
    });
    socket.once("close", () => this.#silent.delete(socket));
  }

  /** Ends who has been silent for too long; returns how many. */
  check(nowMs: number): number {
    let late = 0;
    for (const [socket, since] of this.#silent) {
      // They stand in the order of their coming.
      if (nowMs - since <= this.#timeoutMs) break;
      this.#silent.delete(socket);
      socket.destroy();
      late += 1;
    }
    return late;
  }

  close(): void {
    for (const socket of this.#silent.keys()) socket.destroy();
    this.#silent.clear();
  }
}
