import type { Tx } from "../db/index.ts";
import { AppError, type Clock, LIMITS } from "../kernel/index.ts";
import { MAKE_ROOM } from "./commands-errors.ts";
import { countOpen } from "./sending-store.ts";

/** How long a count of a tenant's open commands is good enough. */
const COUNT_KEPT_MS = 2_000;
const MAX_TENANTS = 10_000;

/**
 * Holds tenants to their limit of open commands. Counting for every order would cost more than the
 * order: between counts only what this process adds is known, so several processes may exceed the
 * limit by what they add within that time.
 */
export class QueueGauge {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #counts = new Map<string, { open: number; countedAt: number }>();

  constructor(clock: Clock, limit: number = LIMITS.commandsOpenPerTenant) {
    this.#clock = clock;
    this.#limit = limit;
  }

  /**
   * Counts `more` commands in; `quota-exceeded` where they would be too many. `areWritten`: that the
   * transaction has written them already, so that whoever counts now counts them as well.
   */
  async refusal(
    tx: Tx,
    tenantId: string,
    more: number,
    { areWritten = false } = {},
  ): Promise<AppError | undefined> {
    const now = this.#clock.now();
    let count = this.#counts.get(tenantId);
    if (!count || now - count.countedAt >= COUNT_KEPT_MS) {
      if (this.#counts.size >= MAX_TENANTS) this.#counts.clear();
      const open = await countOpen(tx);
      count = { open: areWritten ? open - more : open, countedAt: now };
      this.#counts.set(tenantId, count);
    }
    if (count.open + more > this.#limit) {
      const { open } = count;
      const message = `the tenant has ${open} open commands of ${this.#limit}, and these would be ${more} more: ${MAKE_ROOM}`;
      return new AppError("quota-exceeded", message, { open, limit: this.#limit });
    }
    count.open += more;
    return undefined;
  }
}
