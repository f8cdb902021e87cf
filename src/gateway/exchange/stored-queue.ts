import { isAppError, messageOf } from "../../kernel/index.ts";
import type { Outbound } from "../outbound.ts";
import { remainingExpiry } from "../passed-properties.ts";
import type { Exchange } from "./exchange.ts";
import type { StoredMessage } from "./messages-store.ts";

const RETRY_MS = 2_000;
/** Messages that one look takes. */
const MAX_LOOK = 100;

interface Client {
  tenantId: string;
  clientKey: string;
  outbound: Outbound;
  isOpen(): boolean;
  /** Whether it may still have what it once subscribed to. */
  mayHear(topic: string): boolean;
  now(): number;
  later(delayMs: number, work: () => void): void;
  warn(what: string, error: string): void;
}

/** Brings a session that outlives its connection what waits for it in the database, in order. */
export class StoredQueue {
  readonly #exchange: Exchange;
  readonly #client: Client;
  readonly #sent = new Set<number>();
  /** Those of them that are gone from the database: a look that began earlier may still show them. */
  readonly #settled = new Set<number>();
  #running = false;
  #wanted = false;

  constructor(exchange: Exchange, client: Client) {
    this.#exchange = exchange;
    this.#client = client;
  }

  /** Something may wait, or there may be room for it. */
  wake(): void {
    this.#wanted = true;
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#wanted && this.#client.isOpen()) {
        this.#wanted = false;
        await this.#look();
      }
    } catch (error) {
      if (!isAppError(error, "unavailable")) {
        this.#client.warn("messages that wait could not be read", messageOf(error));
      }
      this.#client.later(RETRY_MS, () => this.wake());
    }
    this.#running = false;
  }

  async #look(): Promise<void> {
    const { tenantId, clientKey, outbound } = this.#client;
    if (outbound.free <= 0) return;
    for (const seq of this.#settled) this.#sent.delete(seq);
    this.#settled.clear();
    const limit = this.#sent.size + Math.min(MAX_LOOK, outbound.free + outbound.resumable.size);
    const waiting = await this.#exchange.waiting(tenantId, clientKey, limit);
    const isAll = waiting.length < limit;
    const kept = new Set(waiting.map(({ seq }) => String(seq)));
    if (isAll) for (const id of outbound.resumable) if (!kept.has(id)) outbound.forget(id);
    for (const message of waiting) {
      if (this.#sent.has(message.seq)) continue;
      if (outbound.free <= 0 || !this.#client.isOpen()) return;
      this.#sent.add(message.seq);
      void this.#send(message);
    }
    if (!isAll && outbound.free > 0) this.#wanted = true;
  }

  async #send(message: StoredMessage): Promise<void> {
    const { tenantId, clientKey, outbound, now, mayHear, warn } = this.#client;
    const { seq, topic, payload, qos, retain, identifiers } = message;
    const expiry = remainingExpiry(message, now());
    const properties = {
      ...message.properties,
      ...expiry,
      ...(identifiers.length === 0 ? {} : { subscriptionIdentifier: identifiers }),
    };
    const result =
      expiry && mayHear(topic)
        ? await outbound.send({ topic, payload, qos, retain, properties, command: String(seq) })
        : "too-large";
    if (result === "closed") return;
    try {
      await this.#exchange.taken(tenantId, clientKey, [seq]);
      this.#settled.add(seq);
    } catch (error) {
      // It stays known as sent here, and comes once more over the next connection.
      warn("what a client has taken could not be recorded", messageOf(error));
    }
    this.wake();
  }
}
