import type { Clock } from "./clock.ts";

export interface FairShareOptions {
  clock: Pick<Clock, "now">;
  /** In which part of the time since its last call the process was busy, 0 to 1. */
  busy(): number;
  /** So much a second a tenant may have however busy the process is: it is not what keeps it so. */
  floorPerSecond: number;
}

interface Taking {
  /** Since the window began. */
  amount: number;
  /** A second, smoothed over some windows. */
  rate: number;
  takenAt: number;
  /** When all that was taken would have been due at the limit alone. */
  dueAt: number;
}

const WINDOW_MS = 200;
/** A tenant that was last heard of before has nobody to share with, and nobody shares with it. */
const PRESENT_MS = 10_000;
const MAX_TENANTS = 10_000;
/** Above it whoever comes waits noticeably, for what comes before it. */
const TOO_BUSY = 0.8;
const GOAL = 0.7;
const LOWEST_STEP = 0.5;
/** Below it the limit rises, slower than it fell. */
const AT_EASE = 0.6;
const RISE = 1.05;
/** So much at once is no burst. */
const BURST_MS = 50;
/** What has been taken is forgiven beyond it. */
const MAX_DEBT_MS = 10_000;

/**
 * Keeps room in a process that several tenants share. As long as it is busier than is good for who
 * comes next, there is a limit for each tenant, the same for all, which falls until there is room:
 * whoever takes most is slowed, and whoever takes less than the limit never is (max-min fairness).
 * For one tenant alone there is none.
 */
export class FairShare {
  readonly #options: FairShareOptions;
  readonly #tenants = new Map<string, Taking>();
  #limit = Number.POSITIVE_INFINITY;
  #beganAt: number;

  constructor(options: FairShareOptions) {
    this.#options = options;
    this.#beganAt = options.clock.now();
  }

  /** A second, for each tenant; infinite where there is room for all. */
  get limitPerSecond(): number {
    return this.#limit;
  }

  /** Counts `amount`; answers how many milliseconds the tenant's turn is away. */
  take(tenantId: string, amount = 1): number {
    const now = this.#options.clock.now();
    this.#review(now);
    const taking = this.#takingOf(tenantId, now);
    taking.amount += amount;
    taking.takenAt = now;
    if (this.#limit === Number.POSITIVE_INFINITY) return 0;
    const dueAt = Math.max(taking.dueAt, now - BURST_MS) + (amount * 1_000) / this.#limit;
    taking.dueAt = Math.min(dueAt, now + MAX_DEBT_MS);
    return Math.max(0, taking.dueAt - now);
  }

  /** How many milliseconds the turn of the tenant's next would be away. */
  waitOf(tenantId: string): number {
    const now = this.#options.clock.now();
    this.#review(now);
    if (this.#limit === Number.POSITIVE_INFINITY) return 0;
    return Math.max(0, (this.#tenants.get(tenantId)?.dueAt ?? 0) - now);
  }

  #takingOf(tenantId: string, now: number): Taking {
    const known = this.#tenants.get(tenantId);
    if (known) return known;
    const taking = { amount: 0, rate: 0, takenAt: now, dueAt: 0 };
    this.#tenants.set(tenantId, taking);
    if (this.#tenants.size > MAX_TENANTS) {
      this.#tenants.delete(this.#tenants.keys().next().value as string);
    }
    return taking;
  }

  #review(now: number): void {
    const seconds = (now - this.#beganAt) / 1_000;
    // A clock that was put back begins a window anew.
    if (seconds >= 0 && seconds < WINDOW_MS / 1_000) return;
    this.#beganAt = now;
    let highest = 0;
    for (const [tenantId, taking] of this.#tenants) {
      if (now - taking.takenAt > PRESENT_MS) {
        this.#tenants.delete(tenantId);
        continue;
      }
      taking.rate = seconds > 0 ? (taking.rate + taking.amount / seconds) / 2 : taking.rate;
      taking.amount = 0;
      highest = Math.max(highest, taking.rate);
    }
    this.#adjust(this.#options.busy(), highest);
  }

  #adjust(busy: number, highest: number): void {
    if (this.#tenants.size < 2) this.#limit = Number.POSITIVE_INFINITY;
    else if (busy > TOO_BUSY) {
      const lower = Math.min(this.#limit, highest) * Math.max(LOWEST_STEP, GOAL / busy);
      this.#limit = Math.max(this.#options.floorPerSecond, lower);
    } else if (busy < AT_EASE) {
      const higher = this.#limit * RISE;
      this.#limit = higher > 2 * highest ? Number.POSITIVE_INFINITY : higher;
    }
  }
}
