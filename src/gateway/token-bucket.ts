/** Buckets that are remembered; a full one is forgotten first. */
const MAX_BUCKETS = 20_000;

interface Bucket {
  tokens: number;
  at: number;
}

/** Lets each key have `burst` at once and `rate` a second after that. */
export class TokenBuckets {
  readonly #buckets = new Map<string, Bucket>();
  readonly #rate: number;
  readonly #burst: number;

  constructor(ratePerSecond: number, burst: number) {
    this.#rate = ratePerSecond;
    this.#burst = burst;
  }

  /** Takes one token of `key`; false when there is none. */
  take(key: string, nowMs: number): boolean {
    const known = this.#buckets.get(key);
    const tokens = known
      ? Math.min(this.#burst, known.tokens + (Math.max(0, nowMs - known.at) / 1_000) * this.#rate)
      : this.#burst;
    // Used last stands last: the first of the map is the one that has rested longest.
    this.#buckets.delete(key);
    const allowed = tokens >= 1;
    this.#buckets.set(key, { tokens: allowed ? tokens - 1 : tokens, at: nowMs });
    if (this.#buckets.size > MAX_BUCKETS) {
      this.#buckets.delete(this.#buckets.keys().next().value as string);
    }
    return allowed;
  }

  get size(): number {
    return this.#buckets.size;
  }
}
