import type { EncoderState } from "./encoder-state.ts";
import { literalPrice } from "./encoder-state.ts";
import * as at from "./layout.ts";
import {
  AFTER_LITERAL,
  AFTER_MATCH,
  HORIZON,
  INFINITE,
  LITERAL_SYMBOL,
  Options,
} from "./options.ts";
import { priceOfOne, priceOfZero } from "./range-encoder.ts";

/**
 * Chooses the symbols by the cheapest way through the next bytes, exactly as liblzma's normal mode
 * does: the same ways are compared in the same order, by the same prices, with the same ties.
 */
export class Parser {
  readonly #encoder: EncoderState;
  readonly #options = new Options();
  readonly #repeatLengths = new Int32Array(at.REPEATS);
  #next = 0;
  #last = 0;
  #longest = 0;
  /** What was chosen: below 4 a repeated distance, from 4 on a distance, or LITERAL_SYMBOL. */
  symbol = 0;
  length = 0;

  constructor(encoder: EncoderState) {
    this.#encoder = encoder;
  }

  reset(): void {
    this.#next = 0;
    this.#last = 0;
  }

  choose(position: number): void {
    if (this.#next !== this.#last) {
      const from = this.#next;
      this.#next = this.#options.previous[from] as number;
      this.#choice(this.#options.symbol[from] as number, this.#next - from);
      return;
    }
    const { finder, prices, repeats, nice } = this.#encoder;
    if (finder.readAhead === 0) prices.refresh();
    if (this.#begin(position)) return;
    this.#options.now.set(repeats);
    let current = 1;
    for (; current < this.#options.end; current++) {
      this.#longest = finder.find();
      if (this.#longest >= nice) break;
      this.#extend(position + current, current);
    }
    this.#options.turnRound(current);
    this.#last = current;
    this.#next = this.#options.previous[0] as number;
    this.#choice(this.#options.symbol[0] as number, this.#next);
  }

  #choice(symbol: number, length: number): void {
    this.symbol = symbol;
    this.length = length;
  }

  /** How many bytes agree, where `already` are known to. */
  #agreeing(from: number, to: number, already: number, limit: number): number {
    const { bytes } = this.#encoder;
    let length = already;
    while (length < limit && bytes[from + length] === bytes[to + length]) length += 1;
    return length;
  }

  /** Prices the first steps; true where the choice needs no more. */
  #begin(position: number): boolean {
    const { finder, repeats, nice } = this.#encoder;
    const longest = finder.readAhead === 0 ? finder.find() : this.#longest;
    this.#longest = longest;
    const available = Math.min(finder.available + 1, at.MAX_MATCH);
    if (available < 2) {
      this.#choice(LITERAL_SYMBOL, 1);
      return true;
    }
    let best = 0;
    for (let index = 0; index < at.REPEATS; index++) {
      const from = position - (repeats[index] as number) - 1;
      const length = this.#agreeing(from, position, 0, available);
      this.#repeatLengths[index] = length < 2 ? 0 : length;
      if (length >= 2 && length > (this.#repeatLengths[best] as number)) best = index;
    }
    const longestRepeat = this.#repeatLengths[best] as number;
    if (longestRepeat >= nice) {
      finder.skip(longestRepeat - 1);
      this.#choice(best, longestRepeat);
      return true;
    }
    if (longest >= nice) {
      const symbol = (finder.distances[finder.count - 1] as number) + at.REPEATS;
      finder.skip(longest - 1);
      this.#choice(symbol, longest);
      return true;
    }
    return this.#priceFirst(position, longest, longestRepeat);
  }

  #priceFirst(position: number, longest: number, longestRepeat: number): boolean {
    const { bytes, probabilities: p, prices, pb, state, repeats } = this.#encoder;
    const byte = bytes[position] as number;
    const matched = bytes[position - (repeats[0] as number) - 1] as number;
    if (longest < 2 && byte !== matched && longestRepeat < 2) {
      this.#choice(LITERAL_SYMBOL, 1);
      return true;
    }
    this.#options.state[0] = state;
    const posState = position & ((1 << pb) - 1);
    const isMatch = p[at.IS_MATCH + state * at.MAX_POS_STATES + posState] as number;
    const isRepeat = p[at.IS_REPEAT + state] as number;
    this.#options.price[1] =
      priceOfZero(isMatch) + literalPrice(this.#encoder, position, state < 7 ? -1 : matched);
    this.#options.setLiteral(1);
    const repeatPrice = priceOfOne(isMatch) + priceOfOne(isRepeat);
    if (matched === byte) {
      const price = repeatPrice + prices.shortRepeat(state, posState);
      if (price < (this.#options.price[1] as number)) {
        this.#options.price[1] = price;
        this.#options.setShortRepeat(1);
      }
    }
    this.#options.end = Math.max(longest, longestRepeat);
    if (this.#options.end < 2) {
      this.#choice(this.#options.symbol[1] as number, 1);
      return true;
    }
    this.#options.previous[1] = 0;
    this.#options.repeats.set(repeats);
    this.#options.price.fill(INFINITE, 2, this.#options.end + 1);
    for (let index = 0; index < at.REPEATS; index++) {
      const length = this.#repeatLengths[index] as number;
      if (length < 2) continue;
      this.#offerRepeats(
        0,
        index,
        length,
        posState,
        repeatPrice + prices.repeat(index, state, posState),
      );
    }
    const matchPrice = priceOfOne(isMatch) + priceOfZero(isRepeat);
    const shortest =
      (this.#repeatLengths[0] as number) >= 2 ? (this.#repeatLengths[0] as number) + 1 : 2;
    if (shortest <= longest) this.#offerFirstMatches(shortest, posState, matchPrice);
    return false;
  }

  #offerFirstMatches(shortest: number, posState: number, price: number): void {
    const { finder, prices } = this.#encoder;
    const { lengths, distances, count } = finder;
    let index = 0;
    while (shortest > (lengths[index] as number)) index += 1;
    for (let length = shortest; ; length++) {
      const distance = distances[index] as number;
      const total = price + prices.distanceAndLength(distance, length, posState);
      this.#options.offer(length, total, 0, distance + at.REPEATS);
      if (length === lengths[index] && ++index === count) return;
    }
  }

  #offerRepeats(
    from: number,
    index: number,
    longest: number,
    posState: number,
    price: number,
  ): void {
    const { prices } = this.#encoder;
    for (let length = longest; length >= 2; length--) {
      this.#options.offer(
        from + length,
        price + prices.repeatLength(length, posState),
        from,
        index,
      );
    }
  }

  /** Prices the ways on from `current`. */
  #extend(position: number, current: number): void {
    const encoder = this.#encoder;
    const { bytes, probabilities: p, prices, pb, finder, nice } = encoder;
    const state = this.#options.arrive(current);
    const now = this.#options.now;
    const price = this.#options.price[current] as number;
    const byte = bytes[position];
    const matched = bytes[position - (now[0] as number) - 1] as number;
    const posState = position & ((1 << pb) - 1);
    const isMatch = p[at.IS_MATCH + state * at.MAX_POS_STATES + posState] as number;
    const isRepeat = p[at.IS_REPEAT + state] as number;
    const afterLiteral =
      price + priceOfZero(isMatch) + literalPrice(encoder, position, state < 7 ? -1 : matched);
    const next = current + 1;
    let isSingle = false;
    if (afterLiteral < (this.#options.price[next] as number)) {
      this.#options.price[next] = afterLiteral;
      this.#options.previous[next] = current;
      this.#options.setLiteral(next);
      isSingle = true;
    }
    const matchPrice = price + priceOfOne(isMatch);
    const repeatPrice = matchPrice + priceOfOne(isRepeat);
    const isReached =
      (this.#options.previous[next] as number) < current && this.#options.symbol[next] === 0;
    if (matched === byte && !isReached) {
      const short = repeatPrice + prices.shortRepeat(state, posState);
      if (short <= (this.#options.price[next] as number)) {
        this.#options.price[next] = short;
        this.#options.previous[next] = current;
        this.#options.setShortRepeat(next);
        isSingle = true;
      }
    }
    const full = Math.min(finder.available + 1, HORIZON - 1 - current);
    if (full < 2) return;
    if (!isSingle && matched !== byte) {
      this.#tryLiteralRepeat(position, current, state, afterLiteral, Math.min(full, nice + 1));
    }
    const shortest = this.#tryRepeats({
      position,
      current,
      state,
      posState,
      price: repeatPrice,
      full,
    });
    const normal = matchPrice + priceOfZero(isRepeat);
    this.#tryMatches({ position, current, state, posState, price: normal, full }, shortest);
  }

  /** A literal, then the last distance again. */
  #tryLiteralRepeat(
    position: number,
    current: number,
    state: number,
    price: number,
    limit: number,
  ): void {
    const from = position - (this.#options.now[0] as number) - 1;
    // Known to differ in the first byte.
    let length = 1;
    const { bytes } = this.#encoder;
    while (length < limit && bytes[from + length] === bytes[position + length]) length += 1;
    length -= 1;
    if (length < 2) return;
    const to = current + 1 + length;
    const total = this.#repeatAfter(at.afterLiteral(state), position + 1, length, price);
    this.#options.reach(to);
    if (total >= (this.#options.price[to] as number)) return;
    this.#options.price[to] = total;
    this.#options.previous[to] = current + 1;
    this.#options.symbol[to] = 0;
    this.#options.flags[to] = AFTER_LITERAL;
  }

  /** `price` plus that of the last distance again. */
  #repeatAfter(state: number, position: number, length: number, price: number): number {
    const { probabilities: p, prices, pb } = this.#encoder;
    const posState = position & ((1 << pb) - 1);
    const isMatch = p[at.IS_MATCH + state * at.MAX_POS_STATES + posState] as number;
    return (
      price +
      priceOfOne(isMatch) +
      priceOfOne(p[at.IS_REPEAT + state] as number) +
      prices.repeatLength(length, posState) +
      prices.repeat(0, state, posState)
    );
  }

  /** The shortest normal match that is still worth a try. */
  #tryRepeats(way: Way): number {
    const { position, current, state, posState, price, full } = way;
    const { prices, nice } = this.#encoder;
    let shortest = 2;
    for (let index = 0; index < at.REPEATS; index++) {
      const distance = this.#options.now[index] as number;
      const length = this.#agreeing(position - distance - 1, position, 0, Math.min(full, nice));
      if (length < 2) continue;
      this.#options.reach(current + length);
      const repeat = price + prices.repeat(index, state, posState);
      this.#offerRepeats(current, index, length, posState, repeat);
      if (index === 0) shortest = length + 1;
      const total = repeat + prices.repeatLength(length, posState);
      this.#tryThenRepeat(way, distance, index, length, at.afterRepeat(state), total);
    }
    return shortest;
  }

  /** After `length` bytes by `distance`: a literal and the same distance again. */
  #tryThenRepeat(
    { position, current, full }: Way,
    distance: number,
    symbol: number,
    length: number,
    state: number,
    price: number,
  ): void {
    const { probabilities: p, pb, bytes, nice } = this.#encoder;
    const from = position - distance - 1;
    const limit = Math.min(full, length + 1 + nice);
    let reached = length + 1;
    while (reached < limit && bytes[from + reached] === bytes[position + reached]) reached += 1;
    const length2 = reached - length - 1;
    if (length2 < 2) return;
    const at2 = position + length;
    const posState = at2 & ((1 << pb) - 1);
    const isMatch = p[at.IS_MATCH + state * at.MAX_POS_STATES + posState] as number;
    const literal = literalPrice(this.#encoder, at2, bytes[from + length] as number);
    const afterLiteral = price + priceOfZero(isMatch) + literal;
    const total = this.#repeatAfter(at.afterLiteral(state), at2 + 1, length2, afterLiteral);
    const to = current + length + 1 + length2;
    this.#options.reach(to);
    if (total >= (this.#options.price[to] as number)) return;
    this.#options.price[to] = total;
    this.#options.previous[to] = current + length + 1;
    this.#options.symbol[to] = 0;
    this.#options.flags[to] = AFTER_LITERAL | AFTER_MATCH;
    this.#options.previous2[to] = current;
    this.#options.symbol2[to] = symbol;
  }

  #tryMatches(way: Way, shortest: number): void {
    const { current, state, posState, price, full } = way;
    const { finder, prices, nice } = this.#encoder;
    const { lengths, distances } = finder;
    let { count } = finder;
    const available = Math.min(full, nice);
    let longest = this.#longest;
    if (longest > available) {
      longest = available;
      count = 0;
      while (longest > (lengths[count] as number)) count += 1;
      lengths[count++] = longest;
    }
    if (longest < shortest) return;
    this.#options.reach(current + longest);
    let index = 0;
    while (shortest > (lengths[index] as number)) index += 1;
    for (let length = shortest; ; length++) {
      const distance = distances[index] as number;
      const total = price + prices.distanceAndLength(distance, length, posState);
      this.#options.offer(current + length, total, current, distance + at.REPEATS);
      if (length !== lengths[index]) continue;
      const symbol = distance + at.REPEATS;
      this.#tryThenRepeat(way, distance, symbol, length, at.afterMatch(state), total);
      if (++index === count) return;
    }
  }
}

interface Way {
  position: number;
  current: number;
  state: number;
  posState: number;
  price: number;
  /** Bytes that are there and within the horizon. */
  full: number;
}
