import { AppError, type Clock } from "../kernel/index.ts";

const MAX_TENANTS = 10_000;
/** Seconds of a share that may be taken at once. */
const BURST_SECONDS = 10;

/** What each tenant may send: a bucket that fills by so much a second. */
export class Shares {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
  }

  /** Throws `rate-limited` where there is not as much left; one that is larger than a burst never fits. */
  take(tenantId: string, count: number): void {
    const now = this.#clock.now();
    const most = this.#perSecond * BURST_SECONDS;
    const bucket = this.#buckets.get(tenantId) ?? { left: most, at: now };
    bucket.left = Math.min(
      most,
      bucket.left + (Math.max(0, now - bucket.at) / 1_000) * this.#perSecond,
    );
    bucket.at = now;
    if (!this.#buckets.has(tenantId)) {
      if (this.#buckets.size >= MAX_TENANTS) this.#buckets.clear();
      this.#buckets.set(tenantId, bucket);
    }
    if (bucket.left < count) {
      throw new AppError("rate-limited", "the tenant sends more records than its share", {
        perSecond: this.#perSecond,
      });
    }
    bucket.left -= count;
  }
}
