import type { Clock } from "./clock.ts";

/** Answers that may be a little old: each for `ttlMs` at most, `maxEntries` of them at most. */
export class TtlCache<Value> {
  readonly #options: { clock: Clock; ttlMs: number; maxEntries: number };
  readonly #entries = new Map<string, { value: Value; expiresAt: number }>();

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

  delete(key: string): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }

  get size(): number {
    return this.#entries.size;
  }
}
