import { type Bus, subjects } from "../../bus/index.ts";
import type { Database, Tx } from "../../db/index.ts";
import { AppError, type Clock, isAppError, messageOf } from "../../kernel/index.ts";
import { KeyedBatcher } from "../../kernel/keyed-batcher.ts";
import type { Logger } from "../../kernel/logger.ts";
import { restoredWill, type Will } from "../packets/will.ts";
import { type PassedMessage, storedProperties } from "../passed-properties.ts";
import type { SessionState } from "../sessions-store.ts";
import * as clients from "./clients-store.ts";
import * as store from "./messages-store.ts";
import { filterMatches } from "./topics.ts";

/** A message of an application for the others. */
export interface Told {
  message: PassedMessage;
  retain: boolean;
  /** Whose it is, for No Local; undefined where nobody is there any more. */
  from: string | undefined;
}

const BATCH = { maxBatchSize: 200, maxDelayMs: 2, maxQueuedSize: 20_000 };
const SWEEP_INTERVAL_MS = 1_000;
/** Sessions of a tenant that outlive their connection; topics that hold a message. */
export const MAX_KEPT_SESSIONS = 200;
const MAX_RETAINED = 1_000;
export const MAX_RETAINED_BYTES = 32 * 1024;

interface Deps {
  db: Database;
  bus: Bus;
  clock: Clock;
  logger: Logger;
  /** Messages that may wait for a session. */
  maxQueued: number;
  /** The process, the same over its restarts: its earlier life's sessions are found by it. */
  holder: string;
}

/**
 * What a tenant's applications tell one another. Of QoS 1 and 2 a message is acknowledged when it is
 * in the queue of every session that outlives its connection; the bus brings it to the others.
 */
export class Exchange {
  readonly #deps: Deps;
  readonly #told: KeyedBatcher<Told, AppError | undefined>;
  #stopped = false;
  #timer: { cancel(): void } | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#told = new KeyedBatcher({
      ...BATCH,
      write: (tenantId, told) => this.#write(tenantId, told),
    });
  }

  /** Takes up what an earlier life of this process has left; ends what is due, about once a second. */
  async start(): Promise<void> {
    const { db, holder } = this.#deps;
    for (const tenantId of await db.tenantsWithApplicationsOf(holder)) {
      await db.tenant(tenantId, (tx) => clients.orphanClients(tx, holder, this.#now()));
    }
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#told.flush();
  }

  /**
   * Resolves when it is durable wherever it has to wait. Otherwise nobody gets it: `quota-exceeded`
   * where one of those who have a session has no room for it, `unavailable`.
   */
  async tell(tenantId: string, told: Told): Promise<void> {
    if (told.retain && told.message.payload.length > MAX_RETAINED_BYTES) {
      throw new AppError("quota-exceeded", "too large to be retained");
    }
    // QoS 0 waits for nobody, and what is not retained leaves nothing behind.
    if (told.message.qos > 0 || told.retain) {
      const refusal = await this.#told.add(tenantId, told);
      if (refusal) throw refusal;
    }
    this.#pass(tenantId, told);
  }

  claim(tenantId: string, claim: Omit<clients.ClientClaim, "holder">) {
    const { db, holder } = this.#deps;
    return db.tenant(tenantId, async (tx) => {
      const isFull =
        claim.expirySeconds > 0 &&
        (await clients.countKept(tx, claim.clientKey)) >= MAX_KEPT_SESSIONS;
      const expirySeconds = isFull ? 0 : claim.expirySeconds;
      const given = { ...claim, holder, expirySeconds };
      const claimed = await clients.claimClient(tx, tenantId, given, this.#now());
      return { ...claimed, expirySeconds };
    });
  }

  save(tenantId: string, clientKey: string, epoch: number, state: SessionState): Promise<boolean> {
    return this.#tenant(tenantId, (tx) => clients.saveClient(tx, clientKey, epoch, state));
  }

  end(tenantId: string, end: clients.ClientEnd): Promise<void> {
    return this.#tenant(tenantId, (tx) => clients.endClient(tx, end));
  }

  waiting(tenantId: string, clientKey: string, limit: number): Promise<store.StoredMessage[]> {
    return this.#tenant(tenantId, (tx) => store.waitingMessages(tx, clientKey, limit, this.#now()));
  }

  taken(tenantId: string, clientKey: string, seqs: readonly number[]): Promise<void> {
    return this.#tenant(tenantId, (tx) => store.removeMessages(tx, clientKey, seqs));
  }

  retained(tenantId: string): Promise<PassedMessage[]> {
    return this.#tenant(tenantId, (tx) => store.allRetained(tx, this.#now()));
  }

  #tenant<T>(tenantId: string, work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#deps.db.tenant(tenantId, work);
  }

  #now(): Date {
    return new Date(this.#deps.clock.now());
  }

  /** What is refused of one message concerns no other of the batch. */
  #write(tenantId: string, told: readonly Told[]): Promise<(AppError | undefined)[]> {
    return this.#tenant(tenantId, async (tx) => {
      const kept = await store.keptSubscriptions(tx, this.#now());
      const waiting = kept.length === 0 ? new Map() : await store.queueLengths(tx);
      const queued: store.QueuedMessage[] = [];
      const refusals: (AppError | undefined)[] = [];
      for (const one of told) {
        const copies = kept.flatMap((client) => queuedFor(one, client));
        const full = copies.find(
          ({ clientKey }) => (waiting.get(clientKey) ?? 0) >= this.#deps.maxQueued,
        );
        const refusal = full
          ? queueFull(full.clientKey)
          : one.retain && !(await store.retain(tx, tenantId, one.message, MAX_RETAINED))
            ? new AppError("quota-exceeded", "too many topics hold a retained message")
            : undefined;
        refusals.push(refusal);
        if (refusal) continue;
        for (const copy of copies) {
          waiting.set(copy.clientKey, (waiting.get(copy.clientKey) ?? 0) + 1);
          queued.push(copy);
        }
      }
      await store.queueMessages(tx, tenantId, queued);
      return refusals;
    });
  }

  /** To whoever listens at this moment, in every process. */
  #pass(tenantId: string, { message, retain, from }: Told): void {
    this.#deps.bus.publish(subjects.message(tenantId), {
      ...message,
      payload: message.payload.toString("base64"),
      properties: storedProperties(message.properties),
      expiresAt: message.expiresAt ?? null,
      exchanged: { retain, from: from ?? null },
    });
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#deps.clock.after(SWEEP_INTERVAL_MS, () => {
      this.#sweep()
        .catch((error) => {
          if (isAppError(error, "unavailable")) return;
          this.#deps.logger.error({ error: messageOf(error) }, "the exchange could not be swept");
        })
        .finally(() => this.#schedule());
    });
  }

  async #sweep(): Promise<void> {
    const { db } = this.#deps;
    const now = this.#now();
    for (const tenantId of await db.tenantsWith("due_applications", now)) {
      await this.#tenant(tenantId, async (tx) => {
        await store.forgetExpired(tx, now);
        await clients.forgetEnded(tx, now);
        // Locked meanwhile: another process that sweeps takes the others.
        for (const { clientKey, will, at } of await clients.dueClientWills(tx, now)) {
          await this.tell(tenantId, toldWill(restoredWill(will), now.getTime())).catch((error) => {
            if (!isAppError(error) || error.code === "unavailable") throw error;
            const { message } = error;
            this.#deps.logger.warn({ tenantId, clientKey, message }, "a will was not published");
          });
          await clients.forgetClientWill(tx, clientKey, at);
        }
        await clients.forgetEnded(tx, now);
      });
    }
  }
}

/** Who publishes is told whose queue it is: that client has to come back, or to start anew. */
function queueFull(clientKey: string): AppError {
  const [, , by, ...clientId] = clientKey.split("/");
  const client = clientId.join("/");
  return new AppError("quota-exceeded", `the queue of the client "${client}" is full`, { by });
}

/** A will as the message that it is when it is published. */
export function toldWill(will: Will, nowMs: number): Told {
  const { topic, payload, qos, properties, expirySeconds, retain } = will;
  const expiresAt = expirySeconds === undefined ? undefined : nowMs + expirySeconds * 1_000;
  return { message: { topic, payload, qos, properties, expiresAt }, retain, from: undefined };
}

/** The copy that waits for a client, if it listens; shared subscriptions wait for nobody. */
function queuedFor(
  { message, retain, from }: Told,
  { clientKey, subscriptions }: Awaited<ReturnType<typeof store.keptSubscriptions>>[number],
): store.QueuedMessage[] {
  const matching = subscriptions.filter(
    ({ filter, noLocal }) =>
      filterMatches(filter, message.topic) && !(noLocal && clientKey === from),
  );
  const qos = Math.min(message.qos, Math.max(0, ...matching.map((found) => found.qos)));
  if (qos === 0) return [];
  return [
    {
      ...message,
      qos: qos as 1 | 2,
      clientKey,
      retain: retain && matching.some((found) => found.retainAsPublished === true),
      identifiers: matching.flatMap(({ identifier }) => identifier ?? []),
    },
  ];
}
