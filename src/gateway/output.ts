import type { TLSSocket } from "node:tls";

/**
 * The way out of a connection. What is written in one turn of the event loop goes out together: one
 * TLS record and one system call, however many acknowledgements it holds.
 */
export class Output {
  readonly #socket: TLSSocket;
  #unsent: Buffer[] = [];
  #unsentBytes = 0;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
  }

  /** Bytes that the device has not taken yet. */
  get waitingBytes(): number {
    return this.#socket.writableLength + this.#unsentBytes;
  }

  write(bytes: Buffer): void {
    if (this.#unsent.length === 0) setImmediate(() => this.flush());
    this.#unsent.push(bytes);
    this.#unsentBytes += bytes.length;
  }

  flush(): void {
    if (this.#unsent.length === 0) return;
    const [first] = this.#unsent as [Buffer];
    const bytes = this.#unsent.length === 1 ? first : Buffer.concat(this.#unsent);
    this.#unsent = [];
    this.#unsentBytes = 0;
    if (!this.#socket.destroyed && !this.#socket.writableEnded) this.#socket.write(bytes);
  }
}
