import type { DownloadShareStore, ShareKey } from "../firmware/index.ts";
import type { Clock, Timer } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter } from "../kernel/metrics.ts";
import { type PaceLimits, type Share, shareOut } from "./share-out.ts";

/** A limit that holds for several processes. */
export interface SharedScope {
  readonly key: ShareKey;
  readonly limits: PaceLimits;
  readonly active: number;
  /** Downloads that are or would be under way. */
  wanted(): number;
  /** Nothing was under way for some time. */
  isIdle(): boolean;
  /** What may be used until then, and nothing at all where there is none. */
  setShare(share: Share | undefined, until: number): void;
  /** Uses no more than this from now on, whatever was agreed on before. */
  narrow(share: Share): void;
}

const RENEW_MS = 1_000;
/** So long a process that has died, or lost the database, keeps its part from the others. */
const LEASE_MS = 10_000;
/** So often a place that several want and that cannot be divided goes to the next. */
const ROUND_MS = 10_000;
const MAX_KEYS_AT_ONCE = 2_000;

const failures = counter(
  "vautn_download_share_failures_total",
  "Times that a process could not agree with the others on the pace of downloads",
);

/**
 * This process's part of the limits that hold for several: leases in the database, renewed every second
 * for all limits at once while there are downloads. Only the first download under a limit, and
 * those for which there is no room though nobody else uses it, wait for a statement, together.
 */
export class DownloadShares {
  readonly #deps: { clock: Clock; logger: Logger; store: DownloadShareStore; process: string };
  /** Those of which a part is held, with what others have under way. */
  readonly #held = new Map<SharedScope, { elsewhere: number }>();
  /** How many wait for an answer. */
  readonly #asking = new Map<SharedScope, number>();
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(deps: { clock: Clock; logger: Logger; store: DownloadShareStore; process: string }) {
    this.#deps = deps;
  }

  /** Asks for a part, together with all who ask at the same time; the scope knows the answer. */
  async ask(scope: SharedScope): Promise<void> {
    this.#asking.set(scope, (this.#asking.get(scope) ?? 0) + 1);
    try {
      this.#next ??= this.#inTurn(() => {
        this.#next = undefined;
        return this.#exchange([...this.#asking.keys()]);
      });
      await this.#next;
    } finally {
      const left = (this.#asking.get(scope) ?? 1) - 1;
      if (left > 0) this.#asking.set(scope, left);
      else this.#asking.delete(scope);
    }
  }

  isHeld(scope: SharedScope): boolean {
    return this.#held.has(scope) || this.#asking.has(scope);
  }

  /** Downloads that other processes have under way, as they said last. */
  elsewhere(scope: SharedScope): number {
    return this.#held.get(scope)?.elsewhere ?? 0;
  }

  /** Gives everything back: the others go on with it at once. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#inTurn(() => this.#deps.store.leave(this.#deps.process));
  }

  /** One at a time: what is agreed on last is what holds. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(work).catch((error) => {
      failures.inc();
      this.#deps.logger.warn({ err: error }, "the pace of downloads could not be agreed on");
    });
    return this.#last;
  }

  async #exchange(scopes: readonly SharedScope[]): Promise<void> {
    const { clock, store, process } = this.#deps;
    for (const scope of scopes) {
      if (!this.#held.has(scope)) this.#held.set(scope, { elsewhere: 0 });
    }
    this.#renewLater();
    for (let from = 0; from < scopes.length; from += MAX_KEYS_AT_ONCE) {
      const some = scopes.slice(from, from + MAX_KEYS_AT_ONCE);
      const until = clock.now() + LEASE_MS;
      const keys = some.map((scope) => scope.key);
      let shares: Share[] = [];
      await store.exchange(process, keys, LEASE_MS, (others) => {
        const round = Math.floor(clock.now() / ROUND_MS);
        shares = [];
        return some.map((scope, index) => {
          const theirs = others[index] ?? [];
          const wanted = scope.wanted() + (this.#asking.get(scope) ?? 0);
          const mine = { process, wanted, active: scope.active };
          const share = shareOut(scope.limits, mine, theirs, round);
          shares.push(share);
          // Nothing more is let in before the others can know of it.
          scope.narrow(share);
          this.#held.set(scope, { elsewhere: theirs.reduce((sum, one) => sum + one.active, 0) });
          return { ...mine, places: share.places, bytesPerSecond: share.bytesPerSecond };
        });
      });
      for (const [index, scope] of some.entries()) scope.setShare(shares[index], until);
    }
  }

  #renewLater(): void {
    if (this.#timer || this.#isStopped) return;
    this.#timer = this.#deps.clock.after(RENEW_MS, () => {
      this.#timer = undefined;
      void this.#inTurn(() => this.#renew());
    });
  }

  async #renew(): Promise<void> {
    if (this.#isStopped) return;
    const { store, process } = this.#deps;
    const idle = [...this.#held.keys()].filter(
      (scope) => scope.isIdle() && !this.#asking.has(scope),
    );
    for (const scope of idle) {
      this.#held.delete(scope);
      scope.setShare(undefined, 0);
    }
    if (this.#held.size > 0) this.#renewLater();
    if (idle.length > 0) {
      await store.release(
        process,
        idle.map((scope) => scope.key),
      );
    }
    if (this.#held.size > 0) await this.#exchange([...this.#held.keys()]);
  }
}
