import type { Clock } from "./clock.ts";

/** Answers that may be a little old: each for `ttlMs` at most, `maxEntries` of them at most. */
export class TtlCache<Value> {
  readonly #options: { clock: Clock; ttlMs: number; maxEntries: number };
  readonly #entries = new Map<string, { value: Value; expiresAt: number }>();
  readonly #loads = new Map<string, Promise<Value>>();

  constructor(options: { clock: Clock; ttlMs: number; maxEntries: number }) {
    this.#options = options;
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    if (entry.expiresAt > this.#options.clock.now()) return entry.value;
    this.#entries.delete(key);
    return undefined;
  }

  set(key: string, value: Value): void {
    this.#entries.delete(key);
    // A map keeps the order of insertion: the first key is the one that was written longest ago.
    if (this.#entries.size >= this.#options.maxEntries) {
      this.#entries.delete(this.#entries.keys().next().value as string);
    }
    this.#entries.set(key, { value, expiresAt: this.#options.clock.now() + this.#options.ttlMs });
  }

  /**
   * What is known, or else what `read` finds: read once, however many ask meanwhile. What was being
   * read when it was taken out is not kept. `isKept` says no to what is not worth remembering.
   */
  load(
    key: string,
    read: () => Promise<Value>,
    isKept: (value: Value) => boolean = () => true,
  ): Promise<Value> {
    const known = this.get(key);
    if (known !== undefined) return Promise.resolve(known);
    const underWay = this.#loads.get(key);
    if (underWay) return underWay;
    const loading = read()
      .then((value) => {
        if (this.#loads.get(key) === loading && isKept(value)) this.set(key, value);
        return value;
      })
      .finally(() => {
        if (this.#loads.get(key) === loading) this.#loads.delete(key);
      });
    this.#loads.set(key, loading);
    return loading;
  }

  delete(key: string): void {
    this.#entries.delete(key);
    this.#loads.delete(key);
  }

  clear(): void {
    this.#entries.clear();
    this.#loads.clear();
  }

  get size(): number {
    return this.#entries.size;
  }
}
