import type { TLSSocket } from "node:tls";
import type { WebSocket } from "ws";
import { Output } from "../output.ts";

/** RFC 6455 §7.4.1: normal closure. */
const NORMAL_CLOSURE = 1000;

export interface TransportSink {
  onData(bytes: Buffer): void;
  onClosed(): void;
}

/** What carries the packets of an application, in both directions. */
export interface Transport {
  /** Bytes that the application has not taken yet. */
  readonly waitingBytes: number;
  readonly isPaused: boolean;
  /** Begins to hand over what comes. */
  start(sink: TransportSink): void;
  send(bytes: Buffer): void;
  pause(): void;
  resume(): void;
  /** Ends it after what has been written. */
  close(): void;
  terminate(): void;
  onceClosed(listener: () => void): void;
}

/** MQTT over a WebSocket (MQTT 5.0 §6). */
export class WebSocketTransport implements Transport {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  get waitingBytes(): number {
    return this.#socket.bufferedAmount;
  }

  get isPaused(): boolean {
    return this.#socket.isPaused;
  }

  start(sink: TransportSink): void {
    this.#socket.on("message", (data: Buffer, isBinary) => {
      // MQTT 5.0 §6 [MQTT-6.0.0-1]: MQTT is in binary frames, or the connection ends.
      if (isBinary) sink.onData(data);
      else this.close();
    });
    this.#socket.on("error", () => sink.onClosed());
    this.#socket.on("close", () => sink.onClosed());
  }

  send(bytes: Buffer): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.close(NORMAL_CLOSURE);
  }

  terminate(): void {
    this.#socket.terminate();
  }

  onceClosed(listener: () => void): void {
    this.#socket.once("close", listener);
  }
}

/** MQTT over mutual TLS, on the port of the devices. */
export class TlsTransport implements Transport {
  readonly socket: TLSSocket;
  readonly #output: Output;

  constructor(socket: TLSSocket) {
    this.socket = socket;
    this.#output = new Output(socket);
  }

  get waitingBytes(): number {
    return this.#output.waitingBytes;
  }

  get isPaused(): boolean {
    return this.socket.isPaused();
  }

  start(sink: TransportSink): void {
    this.socket.on("data", (bytes: Buffer) => sink.onData(bytes));
    this.socket.on("error", () => sink.onClosed());
    this.socket.on("close", () => sink.onClosed());
  }

  send(bytes: Buffer): void {
    this.#output.write(bytes);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  close(): void {
    this.#output.flush();
    this.socket.destroySoon();
  }

  terminate(): void {
    this.socket.destroy();
  }

  onceClosed(listener: () => void): void {
    this.socket.once("close", listener);
  }
}
