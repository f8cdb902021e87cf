import { decode, encode } from "cborg";
import { encodeFrames, FrameReader } from "./serial-frames.ts";

/** A line to a microcontroller: a serial device, or something that stands for one. */
export interface SmpLine {
  write(bytes: Uint8Array): Promise<void>;
  onData(listener: (bytes: Uint8Array) => void): void;
  close(): Promise<void>;
}

/** Groups and commands of the Simple Management Protocol (mcumgr). */
export const SMP = {
  os: { group: 0, reset: 5 },
  image: { group: 1, state: 0, upload: 1, erase: 5 },
} as const;

const HEADER_BYTES = 8;
const READ = 0;
const WRITE = 2;
const ANSWER_MS = 5_000;
const ATTEMPTS = 4;

/** The microcontroller has answered, and not with yes. */
export class SmpRefused extends Error {}

interface Waiting {
  sequence: number;
  settle(body: Record<string, unknown>): void;
}

/** Asks one thing at a time; what gets lost on the line is asked again. */
export class SmpClient {
  readonly #line: SmpLine;
  #sequence = 0;
  #waiting: Waiting | undefined;

  constructor(line: SmpLine) {
    this.#line = line;
    const reader = new FrameReader((packet) => this.#take(packet));
    line.onData((bytes) => reader.push(bytes));
  }

  read(group: number, id: number, body: object = {}, signal?: AbortSignal) {
    return this.#ask({ operation: READ, group, id, body }, signal);
  }

  write(group: number, id: number, body: object, signal?: AbortSignal) {
    return this.#ask({ operation: WRITE, group, id, body }, signal);
  }

  close(): Promise<void> {
    return this.#line.close();
  }

  async #ask(
    request: { operation: number; group: number; id: number; body: object },
    signal?: AbortSignal,
  ): Promise<Record<string, unknown>> {
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      try {
        return judge(await this.#askOnce(request, signal));
      } catch (error) {
        if (error instanceof SmpRefused || attempt >= ATTEMPTS) throw error;
      }
    }
  }

  async #askOnce(
    request: { operation: number; group: number; id: number; body: object },
    signal?: AbortSignal,
  ): Promise<Record<string, unknown>> {
    this.#sequence = (this.#sequence + 1) & 0xff;
    const body = encode(request.body);
    const packet = Buffer.alloc(HEADER_BYTES + body.length);
    packet[0] = request.operation;
    packet.writeUInt16BE(body.length, 2);
    packet.writeUInt16BE(request.group, 4);
    packet[6] = this.#sequence;
    packet[7] = request.id;
    packet.set(body, HEADER_BYTES);
    const limit = AbortSignal.timeout(ANSWER_MS);
    const until = signal ? AbortSignal.any([signal, limit]) : limit;
    const answer = Promise.withResolvers<Record<string, unknown>>();
    const onEnd = () => answer.reject(new Error("the microcontroller does not answer"));
    until.addEventListener("abort", onEnd, { once: true });
    this.#waiting = { sequence: this.#sequence, settle: answer.resolve };
    try {
      await this.#line.write(encodeFrames(packet));
      return await answer.promise;
    } finally {
      until.removeEventListener("abort", onEnd);
      this.#waiting = undefined;
    }
  }

  #take(packet: Buffer): void {
    const waiting = this.#waiting;
    if (!waiting || packet.length < HEADER_BYTES || waiting.sequence !== packet[6]) return;
    // Bit 0 of the operation tells answers from requests, which some consoles echo.
    if (((packet[0] ?? 0) & 1) === 0) return;
    const body = packet.subarray(HEADER_BYTES, HEADER_BYTES + packet.readUInt16BE(2));
    try {
      waiting.settle(decode(body) as Record<string, unknown>);
    } catch {
      // A body that is no CBOR is as good as none: it is asked for again.
    }
  }
}

/** Version 1 of the protocol says `rc`, version 2 `err`; 0 is well in both. */
function judge(body: Record<string, unknown>): Record<string, unknown> {
  const error = body.err as { group?: number; rc?: number } | undefined;
  const code = error ? (error.rc ?? -1) : Number(body.rc ?? 0);
  if (code === 0) return body;
  throw new SmpRefused(`the microcontroller answered ${error ? `${error.group}/` : ""}${code}`);
}
