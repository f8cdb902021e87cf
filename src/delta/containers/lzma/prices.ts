import * as at from "./layout.ts";
import {
  priceOfBit,
  priceOfDirect,
  priceOfOne,
  priceOfReverseTree,
  priceOfTree,
  priceOfZero,
} from "./range-encoder.ts";

const LENGTHS = at.MAX_MATCH - at.MIN_MATCH + 1;
/** Distances are priced anew after this many matches, their last bits after as many as there are. */
const MATCHES_PER_UPDATE = 128;

/** What matches would cost by the probabilities of a while ago: that is what is decided by. */
export class Prices {
  readonly #probabilities: Uint16Array;
  readonly #posStates: number;
  readonly #lengthCount: number;
  readonly #slotCount: number;
  readonly #matchLengths = new Uint32Array(at.MAX_POS_STATES * LENGTHS);
  readonly #repeatLengths = new Uint32Array(at.MAX_POS_STATES * LENGTHS);
  readonly #matchCounters = new Int32Array(at.MAX_POS_STATES);
  readonly #repeatCounters = new Int32Array(at.MAX_POS_STATES);
  readonly #slots = new Uint32Array(at.DISTANCE_STATES * at.SLOTS);
  readonly #distances = new Uint32Array(at.DISTANCE_STATES * at.FULL_DISTANCES);
  readonly #align = new Uint32Array(at.ALIGN_SIZE);
  matchesSince = 0;
  alignedSince = 0;

  constructor(
    probabilities: Uint16Array,
    { pb, nice, dictionaryBytes }: { pb: number; nice: number; dictionaryBytes: number },
  ) {
    this.#probabilities = probabilities;
    this.#posStates = 1 << pb;
    this.#lengthCount = nice + 1 - at.MIN_MATCH;
    let logarithm = 0;
    while (2 ** logarithm < dictionaryBytes) logarithm += 1;
    this.#slotCount = 2 * logarithm;
  }

  reset(): void {
    this.matchesSince = MATCHES_PER_UPDATE;
    this.alignedSince = at.ALIGN_SIZE;
    for (let state = 0; state < this.#posStates; state++) {
      this.#updateLengths(at.MATCH_LENGTH, state);
      this.#updateLengths(at.REPEAT_LENGTH, state);
    }
  }

  /** To be called when nothing is read ahead. */
  refresh(): void {
    if (this.matchesSince >= MATCHES_PER_UPDATE) this.#updateDistances();
    if (this.alignedSince >= at.ALIGN_SIZE) this.#updateAlign();
  }

  /** To be called before a length is encoded. */
  countLength(coder: number, posState: number): void {
    const counters = coder === at.MATCH_LENGTH ? this.#matchCounters : this.#repeatCounters;
    const left = (counters[posState] as number) - 1;
    counters[posState] = left;
    if (left === 0) this.#updateLengths(coder, posState);
  }

  matchLength(length: number, posState: number): number {
    return this.#matchLengths[posState * LENGTHS + length - at.MIN_MATCH] as number;
  }

  repeatLength(length: number, posState: number): number {
    return this.#repeatLengths[posState * LENGTHS + length - at.MIN_MATCH] as number;
  }

  distanceAndLength(distance: number, length: number, posState: number): number {
    const state = at.distanceState(length);
    const price =
      distance < at.FULL_DISTANCES
        ? (this.#distances[state * at.FULL_DISTANCES + distance] as number)
        : (this.#slots[state * at.SLOTS + at.distanceSlot(distance)] as number) +
          (this.#align[distance & (at.ALIGN_SIZE - 1)] as number);
    return price + this.matchLength(length, posState);
  }

  shortRepeat(state: number, posState: number): number {
    const p = this.#probabilities;
    return (
      priceOfZero(p[at.IS_REPEAT0 + state] as number) +
      priceOfZero(p[at.IS_REPEAT0_LONG + state * at.MAX_POS_STATES + posState] as number)
    );
  }

  /** Which distance is repeated, without the length. */
  repeat(index: number, state: number, posState: number): number {
    const p = this.#probabilities;
    const first = p[at.IS_REPEAT0 + state] as number;
    if (index === 0) {
      const long = p[at.IS_REPEAT0_LONG + state * at.MAX_POS_STATES + posState] as number;
      return priceOfZero(first) + priceOfOne(long);
    }
    const second = p[at.IS_REPEAT1 + state] as number;
    if (index === 1) return priceOfOne(first) + priceOfZero(second);
    const third = p[at.IS_REPEAT2 + state] as number;
    return priceOfOne(first) + priceOfOne(second) + priceOfBit(third, index - 2);
  }

  #updateLengths(coder: number, posState: number): void {
    const isMatch = coder === at.MATCH_LENGTH;
    const prices = isMatch ? this.#matchLengths : this.#repeatLengths;
    const counters = isMatch ? this.#matchCounters : this.#repeatCounters;
    counters[posState] = this.#lengthCount;
    const p = this.#probabilities;
    const choice = p[coder] as number;
    const choice2 = p[coder + at.LENGTH_CHOICE2] as number;
    const low = priceOfZero(choice);
    const mid = priceOfOne(choice) + priceOfZero(choice2);
    const high = priceOfOne(choice) + priceOfOne(choice2);
    const lowTree = coder + at.LENGTH_LOW + posState * 8;
    const midTree = coder + at.LENGTH_MID + posState * 8;
    const row = posState * LENGTHS;
    for (let index = 0; index < this.#lengthCount; index++) {
      let price: number;
      if (index < 8) price = low + priceOfTree(p, lowTree, 3, index);
      else if (index < 16) price = mid + priceOfTree(p, midTree, 3, index - 8);
      else price = high + priceOfTree(p, coder + at.LENGTH_HIGH, 8, index - 16);
      prices[row + index] = price;
    }
  }

  #updateDistances(): void {
    const p = this.#probabilities;
    const slots = this.#slots;
    for (let state = 0; state < at.DISTANCE_STATES; state++) {
      const row = state * at.SLOTS;
      for (let slot = 0; slot < this.#slotCount; slot++) {
        let price = priceOfTree(p, at.DISTANCE_SLOT + row, 6, slot);
        if (slot >= at.MODELLED_SLOT_END) price += priceOfDirect((slot >> 1) - 1 - at.ALIGN_BITS);
        slots[row + slot] = price;
      }
      for (let distance = 0; distance < at.MODELLED_SLOT; distance++) {
        this.#distances[state * at.FULL_DISTANCES + distance] = slots[row + distance] as number;
      }
    }
    for (let distance = at.MODELLED_SLOT; distance < at.FULL_DISTANCES; distance++) {
      const slot = at.distanceSlot(distance);
      const bits = (slot >> 1) - 1;
      const base = (2 | (slot & 1)) << bits;
      const tree = at.DISTANCE_SPECIAL + base - slot - 1;
      const price = priceOfReverseTree(p, tree, bits, distance - base);
      for (let state = 0; state < at.DISTANCE_STATES; state++) {
        this.#distances[state * at.FULL_DISTANCES + distance] =
          price + (slots[state * at.SLOTS + slot] as number);
      }
    }
    this.matchesSince = 0;
  }

  #updateAlign(): void {
    for (let value = 0; value < at.ALIGN_SIZE; value++) {
      this.#align[value] = priceOfReverseTree(
        this.#probabilities,
        at.DISTANCE_ALIGN,
        at.ALIGN_BITS,
        value,
      );
    }
    this.alignedSince = 0;
  }
}
