import type { Clock, Timer } from "./clock.ts";

interface Entry {
  at: number;
  order: number;
  callback: () => void;
}

/** A clock that stands still until it is advanced; timers fire in the order of their time. */
export class VirtualClock implements Clock {
  #now: number;
  #order = 0;
  #entries: Entry[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): Timer {
    const entry = { at: this.#now + Math.max(0, delayMs), order: this.#order++, callback };
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle] as Entry).at <= entry.at) low = middle + 1;
      else high = middle;
    }
    this.#entries.splice(low, 0, entry);
    return {
      cancel: () => {
        const index = this.#entries.indexOf(entry);
        if (index >= 0) this.#entries.splice(index, 1);
      },
    };
  }

  /** Moves time forward by `deltaMs`, firing what falls due and letting promises settle between. */
  async advance(deltaMs: number): Promise<void> {
    const end = this.#now + deltaMs;
    for (;;) {
      await settle();
      const next = this.#entries[0];
      if (!next || next.at > end) break;
      this.#entries.shift();
      this.#now = next.at;
      next.callback();
    }
    this.#now = end;
    await settle();
  }

  /** Time of the earliest pending timer, in milliseconds since the epoch. */
  nextAt(): number | undefined {
    return this.#entries[0]?.at;
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
