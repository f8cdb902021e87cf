import { AppError } from "./errors.ts";

export interface SlotLimits {
  running: number;
  runningPerTenant: number;
  waitingPerTenant: number;
  waitMs: number;
}

interface Waiter {
  start(): void;
}

export interface SlotNews {
  refused?(reason: "queue" | "time"): void;
  running?(count: number): void;
}

/**
 * Lets a bounded number of queries run, in turn by tenant: whoever asks for much waits behind itself,
 * and a tenant that asks for one thing waits for one query of each other tenant at most.
 */
export class FairSlots {
  readonly #limits: SlotLimits;
  readonly #runningOf = new Map<string, number>();
  /** Tenants with waiters in the order of their turns. */
  readonly #waiting = new Map<string, Waiter[]>();
  readonly #news: SlotNews;
  #running = 0;

  constructor(limits: SlotLimits, news: SlotNews = {}) {
    this.#limits = limits;
    this.#news = news;
  }

  /** Throws `rate-limited` where the tenant's queue is full or its turn does not come. */
  async run<T>(tenantId: string, work: () => Promise<T>): Promise<T> {
    await this.#enter(tenantId);
    try {
      return await work();
    } finally {
      this.#leave(tenantId);
    }
  }

  #enter(tenantId: string): Promise<void> | void {
    if (!this.#waiting.has(tenantId) && this.#mayStart(tenantId)) return this.#begin(tenantId);
    const queue = this.#waiting.get(tenantId) ?? [];
    const { waitingPerTenant, waitMs } = this.#limits;
    if (queue.length >= waitingPerTenant) {
      this.#news.refused?.("queue");
      throw new AppError("rate-limited", "too many queries of this tenant wait", {
        limit: waitingPerTenant,
      });
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        start: () => {
          clearTimeout(timer);
          this.#begin(tenantId);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.#forget(tenantId, waiter);
        this.#news.refused?.("time");
        reject(
          new AppError("rate-limited", "the turn of this query did not come", {
            waitedMs: waitMs,
          }),
        );
      }, waitMs);
      queue.push(waiter);
      this.#waiting.set(tenantId, queue);
    });
  }

  #mayStart(tenantId: string): boolean {
    const own = this.#runningOf.get(tenantId) ?? 0;
    const { running, runningPerTenant } = this.#limits;
    // The last one is for who has none: however many ask for much, who asks for one thing gets it.
    const open = own > 0 && running > runningPerTenant ? running - 1 : running;
    return this.#running < open && own < runningPerTenant;
  }

  #begin(tenantId: string): void {
    this.#running += 1;
    this.#runningOf.set(tenantId, (this.#runningOf.get(tenantId) ?? 0) + 1);
    this.#news.running?.(this.#running);
  }

  #leave(tenantId: string): void {
    this.#running -= 1;
    this.#news.running?.(this.#running);
    const left = (this.#runningOf.get(tenantId) ?? 1) - 1;
    if (left > 0) this.#runningOf.set(tenantId, left);
    else this.#runningOf.delete(tenantId);
    this.#startWaiting();
  }

  #startWaiting(): void {
    for (const [tenantId, queue] of [...this.#waiting]) {
      if (!this.#mayStart(tenantId)) continue;
      const waiter = queue.shift();
      // To the end of the round: the others come first next time.
      this.#waiting.delete(tenantId);
      if (queue.length > 0) this.#waiting.set(tenantId, queue);
      waiter?.start();
    }
  }

  #forget(tenantId: string, waiter: Waiter): void {
    const queue = this.#waiting.get(tenantId)?.filter((other) => other !== waiter) ?? [];
    if (queue.length > 0) this.#waiting.set(tenantId, queue);
    else this.#waiting.delete(tenantId);
  }
}
