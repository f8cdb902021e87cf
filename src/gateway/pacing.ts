/** Senders that are remembered; who has rested longest is forgotten first. */
const MAX_SENDERS = 20_000;

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
}

/** A pace for each key. */
export class Paces {
  readonly #paces = new Map<string, Pace>();
  readonly #rate: number;
  readonly #burst: number;

  constructor(ratePerSecond: number, burst: number) {
    this.#rate = ratePerSecond;
    this.#burst = burst;
  }

  take(key: string, amount: number, nowMs: number): number {
    let pace = this.#paces.get(key);
    if (!pace) {
      pace = new Pace(this.#rate, this.#burst);
      this.#paces.set(key, pace);
      if (this.#paces.size > MAX_SENDERS) {
        this.#paces.delete(this.#paces.keys().next().value as string);
      }
    }
    return pace.take(amount, nowMs);
  }
}
