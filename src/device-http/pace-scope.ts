import type { ShareKey } from "../firmware/index.ts";
import type { Clock, Random, Timer } from "../kernel/index.ts";
import type { SharedScope } from "./download-shares.ts";
import { admittedBy, type PaceLimits, type Share, usefulPlaces } from "./share-out.ts";

/** How much later than it was told to somebody who waits may come, and is still expected. */
const LATE_MS = 15_000;
/** So often those are looked through who wait. */
const SWEEP_MS = 1_000;
const MAX_WAITING = 20_000;
/** The rate at which downloads end is that of so long, or of the time since the first one. */
const RATE_WINDOW_MS = 60_000;
const LEAST_WINDOW_MS = 5_000;
const LEAST_ENDED = 10;
const RETRY = { minSeconds: 1, unknownSeconds: 30, maxSeconds: 300 };
/** Within this time other processes let go of what is due to this one. */
const OWED_SECONDS = 3;
/** So long a part of a shared limit is kept for the next download. */
const LINGER_MS = 30_000;
/** What keeps a stream alive when there is no word from the other processes any more. */
const TRICKLE_BYTES_PER_SECOND = 1_024;

interface Turn {
  sizeBytes: number;
  resolve(): void;
}

/**
 * One limit: who is in, who was told to wait, and whose bytes come next. With a key it holds for
 * several processes, and this one uses the share that it is given.
 */
export class Scope implements SharedScope {
  readonly key: ShareKey;
  readonly isShared: boolean;
  active = 0;
  readonly #clock: Clock;
  /** Until when each of those who were told to wait is expected. */
  readonly #waiting = new Map<string, number>();
  #sweptAt = 0;
  readonly #ended: number[] = [];
  readonly #turns = new Map<string, Turn[]>();
  #limits: PaceLimits;
  #share: (Share & { until: number }) | undefined;
  readonly #since: number;
  #usedAt: number;
  /** Bytes that were let go ahead of their time, as of `#settledAt`, and the rate since then. */
  #owed = 0;
  #settledAt = 0;
  #rate = 0;
  #timer: Timer | undefined;

  constructor({ clock }: { clock: Clock }, limits: PaceLimits, key?: ShareKey) {
    this.#clock = clock;
    this.#limits = limits;
    this.key = key ?? { tenantId: "", rolloutId: "" };
    this.isShared = key !== undefined;
    this.#since = clock.now();
    this.#usedAt = this.#since;
  }

  get limits(): PaceLimits {
    return this.#limits;
  }

  set limits(limits: PaceLimits) {
    const { concurrent, bytesPerSecond } = this.#limits;
    if (limits.concurrent === concurrent && limits.bytesPerSecond === bytesPerSecond) return;
    this.#limits = limits;
    this.#changeRate();
  }

  get isPaced(): boolean {
    return this.#limits.bytesPerSecond > 0;
  }

  isFull(): boolean {
    if (!this.isShared) return this.active >= usefulPlaces(this.#limits);
    const share = this.#validShare();
    return !share || this.active >= admittedBy(share, this.isPaced);
  }

  /** Whether there may be room that this process has not asked for yet. */
  mayAskForMore(): boolean {
    return this.isShared && (this.#validShare()?.hasSpare ?? true);
  }

  wanted(): number {
    this.#forget();
    return this.active + this.#waiting.size;
  }

  isIdle(): boolean {
    if (this.active > 0 || this.hasWaiting()) return false;
    return !this.isShared || this.#clock.now() - this.#usedAt >= LINGER_MS;
  }

  setShare(share: Share | undefined, until: number): void {
    this.#share = share && { ...share, until };
    this.#changeRate();
  }

  narrow(share: Share): void {
    const held = this.#validShare();
    if (!held) return;
    held.admits = Math.min(held.admits, share.admits);
    held.bytesPerSecond = Math.min(held.bytesPerSecond, share.bytesPerSecond);
    this.#changeRate();
  }

  enter(waiter: string): void {
    this.active += 1;
    this.#usedAt = this.#clock.now();
    this.#waiting.delete(waiter);
  }

  leave(): void {
    this.active -= 1;
    this.#usedAt = this.#clock.now();
    this.#ended.push(this.#usedAt);
    this.#forget();
  }

  hasWaiting(): boolean {
    this.#forget();
    return this.#waiting.size > 0;
  }

  *waitingTenants(): Iterable<string> {
    this.#forget();
    for (const waiter of this.#waiting.keys()) yield waiter.slice(0, waiter.indexOf("/"));
  }

  /** Remembers who waits; in how many seconds to come back. */
  wait(waiter: string, random: Random): number {
    this.#forget();
    const now = this.#clock.now();
    if (this.#waiting.size < MAX_WAITING) this.#waiting.set(waiter, now + LATE_MS);
    const observedMs = now - this.#since;
    const windowMs = Math.min(RATE_WINDOW_MS, Math.max(LEAST_WINDOW_MS, observedMs));
    const endedPerSecond = (this.#ended.length * 1000) / windowMs;
    // The first few ends say little: with them alone everybody would be sent away for minutes.
    const needed =
      this.#ended.length < LEAST_ENDED ? RETRY.unknownSeconds : this.#waiting.size / endedPerSecond;
    const isOwed = this.isShared && (this.#validShare()?.isOwed ?? true);
    const longest = isOwed ? OWED_SECONDS : RETRY.maxSeconds;
    const within = Math.min(longest, Math.max(2, needed));
    const seconds = Math.ceil(RETRY.minSeconds + random.next() * within);
    if (this.#waiting.has(waiter)) this.#waiting.set(waiter, now + seconds * 1_000 + LATE_MS);
    return seconds;
  }

  /** Resolves in this party's turn; each party has one, however many streams it has. */
  take(sizeBytes: number, party: string, signal: AbortSignal): Promise<void> {
    if (!this.isPaced || signal.aborted) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const turn: Turn = { sizeBytes, resolve };
      const onAbort = () => {
        const turns = this.#turns.get(party)?.filter((other) => other !== turn) ?? [];
        if (turns.length > 0) this.#turns.set(party, turns);
        else this.#turns.delete(party);
        reject(signal.reason);
      };
      turn.resolve = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#turns.set(party, [...(this.#turns.get(party) ?? []), turn]);
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#timer) return;
    for (;;) {
      const next = this.#turns.entries().next();
      if (next.done) return;
      this.#settle();
      if (this.#owed > 0 && this.#rate > 0) {
        this.#timer = this.#clock.after(Math.ceil((this.#owed * 1000) / this.#rate), () => {
          this.#timer = undefined;
          this.#pump();
        });
        return;
      }
      const [party, [turn, ...rest]] = next.value as [string, Turn[]];
      // To the end of the round.
      this.#turns.delete(party);
      if (rest.length > 0) this.#turns.set(party, rest);
      if (!turn) continue;
      this.#owed += turn.sizeBytes;
      turn.resolve();
    }
  }

  #settle(): void {
    const now = this.#clock.now();
    const paid = ((now - this.#settledAt) * this.#rate) / 1000;
    this.#owed = Math.max(0, this.#owed - paid);
    this.#settledAt = now;
    this.#rate = this.#rateNow();
    if (this.#rate === 0) this.#owed = 0;
  }

  #rateNow(): number {
    const { bytesPerSecond } = this.#limits;
    if (bytesPerSecond === 0 || !this.isShared) return bytesPerSecond;
    const share = this.#validShare()?.bytesPerSecond ?? 0;
    return Math.max(share, Math.min(bytesPerSecond, this.active * TRICKLE_BYTES_PER_SECOND));
  }

  /** What is owed so far was owed at the old rate; the rest of the wait is by the new one. */
  #changeRate(): void {
    this.#settle();
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#pump();
  }

  #validShare(): (Share & { until: number }) | undefined {
    return this.#share && this.#share.until > this.#clock.now() ? this.#share : undefined;
  }

  #forget(): void {
    const now = this.#clock.now();
    while (this.#ended.length > 0 && now - (this.#ended[0] as number) > RATE_WINDOW_MS) {
      this.#ended.shift();
    }
    if (now - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = now;
    // Who has gone to another process meanwhile is waited for no longer than it was told.
    for (const [waiter, until] of this.#waiting) {
      if (until < now) this.#waiting.delete(waiter);
    }
  }
}
