import { EVEN, MOVE_BITS, PROBABILITY_BITS } from "./layout.ts";

const TOP = 2 ** 24;
const FULL = 2 ** PROBABILITY_BITS;
const INVERT = FULL - 1;
/** A bit's price is in sixteenths; probabilities are looked up by their upper seven bits. */
const PRICE_SHIFT = 4;
const PRICES = priceTable();

function priceTable(): Uint8Array {
  const prices = new Uint8Array(FULL >> PRICE_SHIFT);
  for (let place = 0; place < prices.length; place++) {
    let power = (place << PRICE_SHIFT) + (1 << (PRICE_SHIFT - 1));
    let bits = 0;
    for (let cycle = 0; cycle < PRICE_SHIFT; cycle++) {
      power *= power;
      bits <<= 1;
      while (power >= 65536) {
        power = Math.floor(power / 2);
        bits += 1;
      }
    }
    prices[place] = (PROBABILITY_BITS << PRICE_SHIFT) - 15 - bits;
  }
  return prices;
}

export function priceOfZero(probability: number): number {
  return PRICES[probability >>> PRICE_SHIFT] as number;
}

export function priceOfOne(probability: number): number {
  return PRICES[(probability ^ INVERT) >>> PRICE_SHIFT] as number;
}

export function priceOfBit(probability: number, bit: number): number {
  return PRICES[(probability ^ (-bit & INVERT)) >>> PRICE_SHIFT] as number;
}

export function priceOfDirect(bits: number): number {
  return bits << PRICE_SHIFT;
}

export function priceOfTree(
  probabilities: Uint16Array,
  base: number,
  bits: number,
  symbol: number,
): number {
  let price = 0;
  for (let node = symbol + (1 << bits); node !== 1; node >>>= 1) {
    price += priceOfBit(probabilities[base + (node >>> 1)] as number, node & 1);
  }
  return price;
}

export function priceOfReverseTree(
  probabilities: Uint16Array,
  base: number,
  bits: number,
  symbol: number,
): number {
  let price = 0;
  let rest = symbol;
  let node = 1;
  for (let count = bits; count > 0; count--) {
    const bit = rest & 1;
    rest >>>= 1;
    price += priceOfBit(probabilities[base + node] as number, bit);
    node = (node << 1) | bit;
  }
  return price;
}

/** Writes the bytes of one LZMA2 chunk into a buffer. */
export class RangeEncoder {
  readonly #probabilities: Uint16Array;
  readonly buffer: Uint8Array;
  length = 0;
  #low = 0;
  #range = 0xffffffff;
  #cache = 0;
  #cached = 1;

  constructor(probabilities: Uint16Array, maxBytes: number) {
    this.#probabilities = probabilities;
    this.buffer = new Uint8Array(maxBytes);
  }

  resetProbabilities(): void {
    this.#probabilities.fill(EVEN);
  }

  /** Bytes that have been held back so far. */
  get pending(): number {
    return this.#cached + 4;
  }

  begin(): void {
    this.length = 0;
    this.#low = 0;
    this.#range = 0xffffffff;
    this.#cache = 0;
    this.#cached = 1;
  }

  bit(place: number, bit: number): void {
    if (this.#range < TOP) this.#widen();
    const probability = this.#probabilities[place] as number;
    const bound = (this.#range >>> PROBABILITY_BITS) * probability;
    if (bit === 0) {
      this.#range = bound;
      this.#probabilities[place] = probability + ((FULL - probability) >>> MOVE_BITS);
    } else {
      this.#low += bound;
      this.#range -= bound;
      this.#probabilities[place] = probability - (probability >>> MOVE_BITS);
    }
  }

  tree(base: number, bits: number, symbol: number): void {
    let node = 1;
    for (let shift = bits - 1; shift >= 0; shift--) {
      const bit = (symbol >>> shift) & 1;
      this.bit(base + node, bit);
      node = (node << 1) | bit;
    }
  }

  reverseTree(base: number, bits: number, symbol: number): void {
    let node = 1;
    for (let shift = 0; shift < bits; shift++) {
      const bit = (symbol >>> shift) & 1;
      this.bit(base + node, bit);
      node = (node << 1) | bit;
    }
  }

  direct(value: number, bits: number): void {
    for (let shift = bits - 1; shift >= 0; shift--) {
      if (this.#range < TOP) this.#widen();
      this.#range = this.#range >>> 1;
      if ((value >>> shift) & 1) this.#low += this.#range;
    }
  }

  finish(): void {
    if (this.#range < TOP) this.#widen();
    for (let count = 0; count < 5; count++) this.#shift();
  }

  #widen(): void {
    this.#shift();
    this.#range = (this.#range << 8) >>> 0;
  }

  #shift(): void {
    if (this.#low < 0xff000000 || this.#low >= 2 ** 32) {
      const carry = this.#low >= 2 ** 32 ? 1 : 0;
      do {
        this.buffer[this.length++] = this.#cache + carry;
        this.#cache = 0xff;
      } while (--this.#cached > 0);
      this.#cache = (this.#low >>> 24) & 0xff;
    }
    this.#cached += 1;
    this.#low = (this.#low & 0xffffff) * 256;
  }
}
