import { setImmediate as turn } from "node:timers/promises";
import { AppError } from "../../kernel/index.ts";

/** Numbers at a time, of all series and steps: 8 bytes each. What comes to an answer takes fewer. */
const MAX_HELD = 12_000_000;
/** Values looked at, over and over where windows overlap: some seconds of one core. */
const MAX_WORK = 300_000_000;
/** Whoever shares the process waits for so much of it, some hundredths of a second. */
const PAUSE_EVERY = 3_000_000;

/** What one query may hold and compute, all its parts together. */
export class Budget {
  #held = 0;
  #work = 0;
  #pausedAt = 0;

  get held(): number {
    return this.#held;
  }

  /** Takes room for so many numbers. Throws `query-too-expensive`. */
  hold(count: number): void {
    this.#held += count;
    if (this.#held > MAX_HELD) throw tooMuch(`hold more than ${MAX_HELD} numbers at a time`);
  }

  /** So many numbers are all that is held now. */
  settle(held: number): void {
    this.#held = held;
  }

  /** Throws `query-too-expensive`. */
  spend(values: number): void {
    this.#work += values;
    if (this.#work > MAX_WORK) throw tooMuch(`look at more than ${MAX_WORK} values`);
  }

  /** Whether others have waited for long enough. */
  get isPauseDue(): boolean {
    return this.#work - this.#pausedAt > PAUSE_EVERY;
  }

  /** Lets others have their turn. */
  async pause(): Promise<void> {
    this.#pausedAt = this.#work;
    await turn();
  }
}

function tooMuch(what: string): AppError {
  const hint = "choose fewer devices, a shorter time or window, or a wider step";
  return new AppError("query-too-expensive", `the query would ${what}: ${hint}`);
}
