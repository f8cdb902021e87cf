import type { Database } from "../db/index.ts";
import { type Clock, messageOf, type Timer } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter } from "../kernel/metrics.ts";
import {
  changesSince,
  type StandingChange,
  type StandingRow,
  standingHorizon,
} from "./standing-store.ts";

/** A revocation must take effect within five seconds though its message on the bus was lost. */
const POLL_MS = 1_000;
const PAGE = 5_000;
const MAX_PAGES = 200;
/** How long a change may be on its way: the database ends transactions that idle for a minute. */
const REPEAT_MS = 120_000;
const MAX_REMEMBERED = 1_000_000;

const failures = counter(
  "vautn_standing_polls_failed_total",
  "Looks at the database for revocations that failed",
);

interface Deps {
  db: Database;
  clock: Clock;
  logger: Logger;
  /** Told of each change once. */
  tell(change: StandingChange): void;
}

/** Reads revocations from the database, for the processes that hold connections of devices. */
export class StandingWatch {
  readonly #deps: Deps;
  /** Changes that were told already and may be read again, with the time of the first reading. */
  readonly #told = new Map<number, number>();
  #since: string | undefined;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Resolves when it is known from where on changes count. */
  async start(): Promise<void> {
    this.#since = await this.#deps.db.platform(standingHorizon);
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#deps.clock.after(POLL_MS, () => {
      this.#running = this.#poll().finally(() => this.#schedule());
    });
  }

  async #poll(): Promise<void> {
    try {
      await this.#look();
    } catch (error) {
      failures.inc();
      // Nothing can be revoked while the database is away; the next look begins where this one did.
      this.#deps.logger.warn({ error: messageOf(error) }, "revocations could not be read");
    }
  }

  async #look(): Promise<void> {
    const { db, clock } = this.#deps;
    const since = this.#since as string;
    await db.platform(async (tx) => {
      // The horizon is read before the changes: whatever commits in between is read again.
      let next = await standingHorizon(tx);
      let after = { xact: "0", seq: -1 };
      for (let page = 1; ; page += 1) {
        const rows = await changesSince(tx, since, after, PAGE);
        for (const row of rows) this.#tell(row, clock.now());
        const last = rows.at(-1);
        if (!last || rows.length < PAGE) break;
        after = { xact: last.xact, seq: last.seq };
        if (page < MAX_PAGES) continue;
        // More than one look reads: the next one goes on here, and not beyond what can be seen.
        if (BigInt(last.xact) < BigInt(next)) next = last.xact;
        break;
      }
      this.#since = next;
    });
    this.#forgetOld(clock.now());
  }

  #tell({ seq, xact: _xact, ...change }: StandingRow, nowMs: number): void {
    if (this.#told.has(seq)) return;
    this.#told.set(seq, nowMs);
    this.#deps.tell(change);
  }

  #forgetOld(nowMs: number): void {
    for (const [seq, at] of this.#told) {
      if (nowMs - at < REPEAT_MS && this.#told.size <= MAX_REMEMBERED) return;
      this.#told.delete(seq);
    }
  }
}
