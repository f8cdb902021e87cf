import type { Clock, Random, Timer } from "../kernel/index.ts";

/** How much may be under way at once; 0 bytes a second stands for no limit. */
export interface PaceLimits {
  concurrent: number;
  bytesPerSecond: number;
}

/** A stream that gets less than this is of no use to its device: fewer are let in instead. */
const MIN_STREAM_BYTES_PER_SECOND = 4 * 1024;
/** How long somebody who was told to wait is expected back. */
const WAITING_MS = 5 * 60_000;
const MAX_WAITING = 20_000;
const RATE_WINDOW_MS = 60_000;
const RETRY = { minSeconds: 1, unknownSeconds: 30, maxSeconds: 300 };

interface Turn {
  sizeBytes: number;
  resolve(): void;
}

/** One limit: who is in, who was told to wait, and whose bytes come next. */
export class Scope {
  limits: PaceLimits;
  active = 0;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, number>();
  readonly #ended: number[] = [];
  readonly #turns = new Map<string, Turn[]>();
  #freeAt = 0;
  #timer: Timer | undefined;

  constructor({ clock }: { clock: Clock }, limits: PaceLimits) {
    this.#clock = clock;
    this.limits = limits;
  }

  get isPaced(): boolean {
    return this.limits.bytesPerSecond > 0;
  }

  isFull(): boolean {
    const { concurrent, bytesPerSecond } = this.limits;
    if (this.active >= concurrent) return true;
    const useful = Math.max(1, Math.floor(bytesPerSecond / MIN_STREAM_BYTES_PER_SECOND));
    return bytesPerSecond > 0 && this.active >= useful;
  }

  enter(waiter: string): void {
    this.active += 1;
    this.#waiting.delete(waiter);
  }

  leave(): void {
    this.active -= 1;
    this.#ended.push(this.#clock.now());
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
    this.#waiting.delete(waiter);
    if (this.#waiting.size < MAX_WAITING) this.#waiting.set(waiter, this.#clock.now());
    const endedPerSecond = (this.#ended.length * 1000) / RATE_WINDOW_MS;
    const needed = endedPerSecond > 0 ? this.#waiting.size / endedPerSecond : RETRY.unknownSeconds;
    const within = Math.min(RETRY.maxSeconds, Math.max(2, needed));
    return Math.ceil(RETRY.minSeconds + random.next() * within);
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
      const now = this.#clock.now();
      if (this.#freeAt > now) {
        this.#timer = this.#clock.after(Math.ceil(this.#freeAt - now), () => {
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
      const rate = this.limits.bytesPerSecond;
      this.#freeAt = Math.max(this.#freeAt, now) + (rate > 0 ? (turn.sizeBytes * 1000) / rate : 0);
      turn.resolve();
    }
  }

  #forget(): void {
    const now = this.#clock.now();
    while (this.#ended.length > 0 && now - (this.#ended[0] as number) > RATE_WINDOW_MS) {
      this.#ended.shift();
    }
    for (const [waiter, since] of this.#waiting) {
      if (now - since <= WAITING_MS) break;
      this.#waiting.delete(waiter);
    }
  }
}
