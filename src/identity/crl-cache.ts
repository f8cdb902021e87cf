import { type Clock, messageOf } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter } from "../kernel/metrics.ts";
import type { PublishedList } from "./crl-lists.ts";

const failed = counter("vautn_crls_failed_total", "Revocation lists that could not be made");

export interface CachedList {
  tenantId: string;
  full: PublishedList;
  delta: PublishedList | undefined;
}

interface Entry {
  list: CachedList | undefined;
  /** When it was asked for last, and how long that took. */
  lookedAt: number;
  tookMs: number;
  changed: boolean;
  running: Promise<CachedList | undefined> | undefined;
}

/** A list that has changed is looked for again after this time, or `REST_FACTOR` times the work. */
const MIN_INTERVAL_MS = 2_000;
const REST_FACTOR = 5;
/** One that has not is looked at again all the same: another process may have made a new one. */
const MAX_AGE_MS = 300_000;
const MAX_ENTRIES = 2_000;
const MAX_BYTES = 256 * 1024 * 1024;

/** Lists in memory, each made by one caller at a time; the number and size of them are bounded. */
export class CrlCache {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor({ clock, logger }: { clock: Clock; logger: Logger }) {
    this.#clock = clock;
    this.#logger = logger;
  }

  async get(
    id: string,
    make: () => Promise<CachedList | undefined>,
  ): Promise<CachedList | undefined> {
    const entry = this.#entries.get(id) ?? this.#add(id);
    if (entry.running) return entry.running;
    const ageMs = this.#clock.now() - entry.lookedAt;
    const restMs = Math.max(MIN_INTERVAL_MS, entry.tookMs * REST_FACTOR);
    if (ageMs < (entry.changed ? restMs : MAX_AGE_MS)) return entry.list;
    entry.running = this.#make(id, entry, make).finally(() => {
      entry.running = undefined;
    });
    return entry.running;
  }

  markTenant(tenantId: string): void {
    for (const entry of this.#entries.values()) {
      if (!entry.list || entry.list.tenantId === tenantId) entry.changed = true;
    }
  }

  async #make(
    id: string,
    entry: Entry,
    make: () => Promise<CachedList | undefined>,
  ): Promise<CachedList | undefined> {
    const started = this.#clock.now();
    // What is heard of from here on may not be in the list that is being made.
    entry.changed = false;
    try {
      const list = await make();
      this.#bytes += sizeOf(list) - sizeOf(entry.list);
      entry.list = list;
      this.#shrink(id);
      return list;
    } catch (error) {
      entry.changed = true;
      // A list that may still be used is better than none: who finds none may believe everybody.
      failed.inc();
      this.#logger.error(
        { error: messageOf(error), authority: id },
        "a revocation list was not made",
      );
      if (entry.list && isInForce(entry.list, started)) return entry.list;
      throw error;
    } finally {
      entry.lookedAt = this.#clock.now();
      entry.tookMs = entry.lookedAt - started;
    }
  }

  #add(id: string): Entry {
    const entry: Entry = {
      ...{ list: undefined, running: undefined, changed: true, tookMs: 0 },
      lookedAt: Number.NEGATIVE_INFINITY,
    };
    this.#entries.set(id, entry);
    return entry;
  }

  #shrink(keep: string): void {
    for (const [id, entry] of this.#entries) {
      if (this.#entries.size <= MAX_ENTRIES && this.#bytes <= MAX_BYTES) return;
      if (id === keep || entry.running) continue;
      this.#bytes -= sizeOf(entry.list);
      this.#entries.delete(id);
    }
  }
}

function isInForce({ full, delta }: CachedList, now: number): boolean {
  return [full, delta].every((list) => !list || list.nextUpdate.getTime() > now);
}

function sizeOf(list: CachedList | undefined): number {
  return (list?.full.der.length ?? 0) + (list?.delta?.der.length ?? 0);
}
