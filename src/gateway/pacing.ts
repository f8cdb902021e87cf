/** Senders that are remembered; who has rested longest is forgotten first. */
const MAX_SENDERS = 100_000;

/**
 * Keeps a sender to `rate` a second after `burst` at once, not by refusing what has come but by
 * saying how long to read no more of it.
 */
export class Pace {
  readonly #msEach: number;
  readonly #burstMs: number;
  /** When all that was taken would have been due at the rate alone. */
  #dueAt = 0;

  constructor(ratePerSecond: number, burst: number) {
    this.#msEach = 1_000 / ratePerSecond;
    this.#burstMs = burst * this.#msEach;
  }

  /** Takes `amount`; answers for how many milliseconds nothing more should be read. */
  take(amount: number, nowMs: number): number {
    this.#dueAt = Math.max(this.#dueAt, nowMs) + amount * this.#msEach;
    return Math.max(0, this.#dueAt - nowMs - this.#burstMs);
  }

  /** Whether `amount` more would have to wait. */
  isSpent(amount: number, nowMs: number): boolean {
    return Math.max(this.#dueAt, nowMs) + amount * this.#msEach > nowMs + this.#burstMs;
  }
}

export interface Rates {
  messageRate: number;
  messageBurst: number;
  byteRate: number;
  byteBurst: number;
}

/** What one sender may send: so many messages, and so many bytes. */
export class Allowance {
  readonly #messages: Pace;
  readonly #bytes: Pace;

  constructor(rates: Rates) {
    this.#messages = new Pace(rates.messageRate, rates.messageBurst);
    this.#bytes = new Pace(rates.byteRate, rates.byteBurst);
  }

  /** Takes one message; answers for how many milliseconds nothing more should be read. */
  take(sizeBytes: number, nowMs: number): number {
    return Math.max(this.#messages.take(1, nowMs), this.#bytes.take(sizeBytes, nowMs));
  }

  /** Whether one more message would have to wait. */
  isSpent(sizeBytes: number, nowMs: number): boolean {
    return this.#messages.isSpent(1, nowMs) || this.#bytes.isSpent(sizeBytes, nowMs);
  }
}

/** An allowance for each key: a tenant, an address. */
export class Allowances {
  readonly #known = new Map<string, Allowance>();
  readonly #rates: Rates;

  constructor(rates: Rates) {
    this.#rates = rates;
  }

  of(key: string): Allowance {
    const known = this.#known.get(key);
    // Asked for last stands last.
    if (known) this.#known.delete(key);
    const allowance = known ?? new Allowance(this.#rates);
    this.#known.set(key, allowance);
    if (this.#known.size > MAX_SENDERS) {
      this.#known.delete(this.#known.keys().next().value as string);
    }
    return allowance;
  }
}
