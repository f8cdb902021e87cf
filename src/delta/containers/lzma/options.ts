import * as at from "./layout.ts";

/** Bytes that are looked at together. */
export const HORIZON = 4096;
export const INFINITE = 2 ** 30;
/** Instead of a distance: a literal. */
export const LITERAL_SYMBOL = -1;
/** Flags of an option: its last step is a literal, behind which a repeat; and before them a match. */
export const AFTER_LITERAL = 1;
export const AFTER_MATCH = 2;

/** For each of the next bytes the cheapest way to it that is known: its price and its last step. */
export class Options {
  readonly price = new Int32Array(HORIZON);
  readonly previous = new Int32Array(HORIZON);
  readonly symbol = new Int32Array(HORIZON);
  readonly flags = new Uint8Array(HORIZON);
  /** The match before a literal and a repeat. */
  readonly previous2 = new Int32Array(HORIZON);
  readonly symbol2 = new Int32Array(HORIZON);
  readonly state = new Uint8Array(HORIZON);
  readonly repeats = new Int32Array(HORIZON * at.REPEATS);
  /** The last distances where `arrive` was last. */
  readonly now = new Int32Array(at.REPEATS);
  /** The farthest byte that a way leads to. */
  end = 0;

  offer(to: number, price: number, from: number, symbol: number): void {
    if (price >= (this.price[to] as number)) return;
    this.price[to] = price;
    this.previous[to] = from;
    this.symbol[to] = symbol;
    this.flags[to] = 0;
  }

  setLiteral(place: number): void {
    this.symbol[place] = LITERAL_SYMBOL;
    this.flags[place] = 0;
  }

  setShortRepeat(place: number): void {
    this.symbol[place] = 0;
    this.flags[place] = 0;
  }

  reach(end: number): void {
    while (this.end < end) this.price[++this.end] = INFINITE;
  }

  /** The state and the distances after the best way to `current`. */
  arrive(current: number): number {
    const flags = this.flags[current] as number;
    const symbol = this.symbol[current] as number;
    let from = this.previous[current] as number;
    let state: number;
    if (flags & AFTER_LITERAL) {
      from -= 1;
      if (flags & AFTER_MATCH) {
        state = this.state[this.previous2[current] as number] as number;
        const isRepeat = (this.symbol2[current] as number) < at.REPEATS;
        state = isRepeat ? at.afterRepeat(state) : at.afterMatch(state);
      } else {
        state = this.state[from] as number;
      }
      state = at.afterLiteral(state);
    } else {
      state = this.state[from] as number;
    }
    if (from === current - 1) {
      state = symbol === 0 ? at.afterShortRepeat(state) : at.afterLiteral(state);
    } else {
      let taken = symbol;
      if (flags & AFTER_LITERAL && flags & AFTER_MATCH) {
        from = this.previous2[current] as number;
        taken = this.symbol2[current] as number;
        state = at.afterRepeat(state);
      } else {
        state = symbol < at.REPEATS ? at.afterRepeat(state) : at.afterMatch(state);
      }
      this.#takeDistance(from, taken);
    }
    this.state[current] = state;
    this.repeats.set(this.now, current * at.REPEATS);
    return state;
  }

  #takeDistance(from: number, symbol: number): void {
    const now = this.now;
    const row = from * at.REPEATS;
    const repeats = this.repeats;
    const upTo = symbol < at.REPEATS ? symbol : at.REPEATS - 1;
    now[0] = symbol < at.REPEATS ? (repeats[row + symbol] as number) : symbol - at.REPEATS;
    for (let index = 1; index < at.REPEATS; index++) {
      now[index] = repeats[row + (index <= upTo ? index - 1 : index)] as number;
    }
  }

  /** Turns the best way's links round, so that it can be walked forwards. */
  turnRound(end: number): void {
    let current = end;
    let from = this.previous[current] as number;
    let symbol = this.symbol[current] as number;
    do {
      const flags = this.flags[current] as number;
      if (flags & AFTER_LITERAL) {
        this.setLiteral(from);
        this.previous[from] = from - 1;
        if (flags & AFTER_MATCH) {
          this.flags[from - 1] = 0;
          this.previous[from - 1] = this.previous2[current] as number;
          this.symbol[from - 1] = this.symbol2[current] as number;
        }
      }
      const here = from;
      const taken = symbol;
      symbol = this.symbol[here] as number;
      from = this.previous[here] as number;
      this.symbol[here] = taken;
      this.previous[here] = current;
      current = here;
    } while (current !== 0);
  }
}
