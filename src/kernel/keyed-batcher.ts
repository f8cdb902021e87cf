import { Batcher, type BatcherOptions } from "./batcher.ts";

export interface KeyedBatcherOptions<Item, Result>
  extends Omit<BatcherOptions<Item, Result>, "write"> {
  /** Makes the batch of one key durable. */
  write(key: string, items: Item[]): ReturnType<BatcherOptions<Item, Result>["write"]>;
}

/** A batcher for each key (a tenant, say), so that the failure or the flood of one is its own. */
export class KeyedBatcher<Item, Result = void> {
  readonly #options: KeyedBatcherOptions<Item, Result>;
  readonly #batchers = new Map<string, Batcher<Item, Result>>();

  constructor(options: KeyedBatcherOptions<Item, Result>) {
    this.#options = options;
  }

  /** Resolves when the item is durable; see `Batcher.add`. */
  add(key: string, item: Item, size = 1): Promise<Result> {
    let batcher = this.#batchers.get(key);
    if (!batcher) {
      batcher = new Batcher<Item, Result>({
        ...this.#options,
        write: (items) => this.#options.write(key, items),
      });
      this.#batchers.set(key, batcher);
    }
    return batcher.add(item, size);
  }

  /** Writes what is queued and waits for it. */
  async flush(): Promise<void> {
    await Promise.all([...this.#batchers.values()].map((batcher) => batcher.flush()));
  }
}
