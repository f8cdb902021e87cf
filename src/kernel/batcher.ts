import { unconfined } from "./confinement.ts";
import { AppError } from "./errors.ts";

interface Waiting<Item, Result> {
  item: Item;
  size: number;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

/** How long an item waits for company where the one before it had none. */
const ALONE_MS = 1;

/**
 * Gathers items into batches, writes one batch at a time and settles each item's promise only when
 * its batch has been written: what turns single messages into durable bulk inserts.
 */
export class Batcher<Item, Result = void> {
  readonly #options: BatcherOptions<Item, Result>;
  #queue: Waiting<Item, Result>[] = [];
  #queuedSize = 0;
  #lastCount = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;

  constructor(options: BatcherOptions<Item, Result>) {
    this.#options = options;
  }

  /** Resolves when the item is durable; rejects with `unavailable` when the queue is full. */
  add(item: Item, size = 1): Promise<Result> {
    if (this.#queuedSize + size > this.#options.maxQueuedSize && this.#queue.length > 0) {
      this.#options.onOverflow?.();
      return Promise.reject(
        new AppError("unavailable", "the ingest queue is full", {
          limit: this.#options.maxQueuedSize,
        }),
      );
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, size, resolve, reject });
      this.#queuedSize += size;
      if (this.#queuedSize >= this.#options.maxBatchSize) this.#startWriting();
      else this.#timer ??= setTimeout(() => this.#startWriting(), this.#delayMs());
    });
  }

  /** Writes what is queued and waits for it. */
  async flush(): Promise<void> {
    while (this.#queue.length > 0 || this.#writing) {
      this.#startWriting();
      await this.#writing;
    }
  }

  get queuedSize(): number {
    return this.#queuedSize;
  }

  #delayMs(): number {
    const { gathers, maxDelayMs } = this.#options;
    // Who came alone before is most likely alone again, and need not wait for others.
    return gathers && this.#lastCount < 2 ? Math.min(ALONE_MS, maxDelayMs) : maxDelayMs;
  }

  #startWriting(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#writing || this.#queue.length === 0) return;
    // A batch holds what several calls have asked for: it is within the confinement of none of them.
    this.#writing = unconfined(() => this.#writeAll()).finally(() => {
      this.#writing = undefined;
      const isFull = this.#queuedSize >= this.#options.maxBatchSize;
      // Those whose time has not run out wait for more of their kind.
      if (this.#options.gathers && this.#timer && !isFull) return;
      if (this.#queue.length > 0) this.#startWriting();
    });
  }

  async #writeAll(): Promise<void> {
    const batch: Waiting<Item, Result>[] = [];
    let size = 0;
    while (this.#queue.length > 0 && (size < this.#options.maxBatchSize || batch.length === 0)) {
      const next = this.#queue.shift() as Waiting<Item, Result>;
      batch.push(next);
      size += next.size;
    }
    this.#lastCount = batch.length;
    try {
      const results = await this.#options.write(batch.map((waiting) => waiting.item));
      batch.forEach((waiting, index) => {
        waiting.resolve((results ? results[index] : undefined) as Result);
      });
    } catch (error) {
      for (const waiting of batch) waiting.reject(error);
    } finally {
      this.#queuedSize -= size;
    }
  }
}

export interface BatcherOptions<Item, Result> {
  /** Sum of sizes at which a batch is written at once. */
  maxBatchSize: number;
  /** Longest time that the first item of a batch waits. */
  maxDelayMs: number;
  /** Sum of sizes that may wait; beyond it `add` refuses. */
  maxQueuedSize: number;
  /**
   * For work of which a large batch costs little more than a small one: what came during a write waits
   * out `maxDelayMs` too, where it would be written at once. Items that come one by one wait a moment.
   */
  gathers?: boolean;
  /** Makes the batch durable; the results stand in the order of the items (or none at all). */
  // biome-ignore lint/suspicious/noConfusingVoidType: who writes without results returns nothing
  write(items: Item[]): Promise<Result[] | void>;
  onOverflow?(): void;
}
