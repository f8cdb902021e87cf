import type { FastifyReply, FastifyRequest } from "fastify";
import { confined } from "../kernel/confinement.ts";
import { AppError } from "../kernel/index.ts";
import { gauge } from "../kernel/metrics.ts";

const MAX_STREAMS = 500;
const MAX_STREAMS_PER_CALLER = 20;
const HEARTBEAT_MS = 15_000;
/** Changes within this time are sent as one. */
const COALESCE_MS = 200;

const openStreams = gauge("vautn_event_streams", "Server-sent event streams that are open");

export interface EventStreamOptions {
  /** Name of the event. */
  event: string;
  /** What is sent first, and again after each change. */
  read(): Promise<unknown>;
  /** Calls back when something changed; the result unsubscribes. */
  subscribe(changed: () => void): () => void;
  /** Whether the caller may still see this; asked with each heartbeat. */
  stillMay(): Promise<boolean>;
  heartbeatMs?: number;
}

/** Live views as server-sent events; closes itself when the caller's right ends. */
export class EventStreams {
  readonly #perCaller = new Map<string, number>();
  readonly #closers = new Set<() => void>();
  #count = 0;

  async open(
    request: FastifyRequest,
    reply: FastifyReply,
    given: EventStreamOptions,
  ): Promise<void> {
    // A change is told by others, outside of what the caller is confined to.
    const read = () => confined(request.confinement ?? undefined, given.read);
    const options = { ...given, read };
    const caller = request.principal?.actor.id ?? request.ip;
    this.#take(caller);
    let first: unknown;
    try {
      first = await options.read(); // Refusals are still plain answers here.
    } catch (error) {
      this.#giveBack(caller);
      throw error;
    }
    reply.hijack();
    reply.raw.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    });
    const stop = follow(reply, options, first, () => {
      this.#closers.delete(stop);
      this.#giveBack(caller);
    });
    this.#closers.add(stop);
  }

  closeAll(): void {
    for (const close of this.#closers) close();
  }

  /** Counted before anything is waited for, so that many at once do not slip through together. */
  #take(caller: string): void {
    const own = this.#perCaller.get(caller) ?? 0;
    if (this.#count >= MAX_STREAMS || own >= MAX_STREAMS_PER_CALLER) {
      throw new AppError("rate-limited", "too many live views are open", {
        limit: own >= MAX_STREAMS_PER_CALLER ? MAX_STREAMS_PER_CALLER : MAX_STREAMS,
      });
    }
    this.#perCaller.set(caller, own + 1);
    this.#count += 1;
    openStreams.set(this.#count);
  }

  #giveBack(caller: string): void {
    const left = (this.#perCaller.get(caller) ?? 1) - 1;
    if (left > 0) this.#perCaller.set(caller, left);
    else this.#perCaller.delete(caller);
    this.#count -= 1;
    openStreams.set(this.#count);
  }
}

/** Sends until the connection or the right ends; the result ends it. */
function follow(
  reply: FastifyReply,
  options: EventStreamOptions,
  first: unknown,
  onClosed: () => void,
): () => void {
  const { raw } = reply;
  let coalescing: NodeJS.Timeout | undefined;
  let isReading = false;
  let changedMeanwhile = false;
  let lastSent = "";
  let isClosed = false;

  const close = () => {
    if (isClosed) return;
    isClosed = true;
    clearInterval(heartbeat);
    clearTimeout(coalescing);
    unsubscribe();
    raw.end();
    onClosed();
  };
  const send = (body: unknown) => {
    const data = JSON.stringify(body);
    // A slow reader gets the latest state when it has caught up, not a queue of old ones.
    if (isClosed || data === lastSent || raw.writableNeedDrain) return;
    lastSent = data;
    raw.write(`event: ${options.event}\ndata: ${data}\n\n`);
  };
  const refresh = async () => {
    coalescing = undefined;
    if (isReading) {
      changedMeanwhile = true;
      return;
    }
    isReading = true;
    try {
      do {
        changedMeanwhile = false;
        send(await options.read());
      } while (changedMeanwhile && !isClosed);
    } catch {
      close(); // Gone, or a store is away: the caller's browser connects again and is told.
    } finally {
      isReading = false;
    }
  };
  const changed = () => {
    coalescing ??= setTimeout(refresh, COALESCE_MS);
  };
  const beat = async () => {
    if (!(await options.stillMay())) {
      close();
      return;
    }
    if (!isClosed && !raw.writableNeedDrain) raw.write(": still here\n\n");
    // The bus promises nothing: what it lost shows at the next beat.
    await refresh();
  };
  const unsubscribe = options.subscribe(changed);
  const heartbeat = setInterval(() => void beat(), options.heartbeatMs ?? HEARTBEAT_MS);
  raw.once("close", close);
  raw.once("error", close);
  // The caller may have gone while the first state was read.
  if (raw.destroyed) setImmediate(close);
  else send(first);
  return close;
}
