import { type EncoderState, literalCoder } from "./encoder-state.ts";
import * as at from "./layout.ts";
import { MatchFinder, matchFinderMemory } from "./match-finder.ts";
import { HORIZON, LITERAL_SYMBOL } from "./options.ts";
import { Parser } from "./parser.ts";
import { Prices } from "./prices.ts";
import { RangeEncoder } from "./range-encoder.ts";

const MAX_CHUNK_BYTES = 2 ** 16;
const MAX_CHUNK_CONTENT_BYTES = 2 ** 21;
/** One round of the parser may take this much; a chunk that could not hold it ends before. */
const MAX_ROUND_BYTES = HORIZON + 1;

export interface LzmaOptions extends at.LiteralProperties {
  dictionaryBytes: number;
  /** A match of this length is taken at once. */
  nice: number;
  /** Steps of a search; the usual number for `nice` where 0. */
  depth: number;
}

/** Bytes held while `sizeBytes` are packed, without themselves. */
export function lzmaEncoderMemory(sizeBytes: number, dictionaryBytes: number): number {
  return matchFinderMemory(sizeBytes, dictionaryBytes) + 512 * 1024;
}

/** Packs `bytes` as LZMA2, chunk by chunk, to the bit as liblzma does in its normal mode. */
export function* encodeLzma2(bytes: Uint8Array, options: LzmaOptions): Generator<Uint8Array> {
  const encoder = new Encoder(bytes, options);
  let mode = 3;
  while (encoder.position < bytes.length) {
    if (encoder.mustReset) encoder.reset();
    const from = encoder.position;
    const body = encoder.chunk();
    const isPacked = body.length < encoder.position - from;
    if (isPacked) {
      const size = encoder.position - from - 1;
      const packed = body.length - 1;
      const control = 0x80 | (mode << 5) | (size >> 16);
      const head = [control, (size >> 8) & 0xff, size & 0xff, packed >> 8, packed & 0xff];
      if (mode >= 2) head.push(at.propertiesByte(options));
      yield Uint8Array.from(head);
      yield body.slice();
      mode = 0;
    } else {
      encoder.takeReadAhead();
      const size = encoder.position - from - 1;
      yield Uint8Array.of(mode === 3 ? 1 : 2, size >> 8, size & 0xff);
      yield bytes.subarray(from, encoder.position);
      // The properties are still to be told where no packed chunk has told them.
      mode = mode >= 2 ? 2 : 1;
    }
  }
  yield Uint8Array.of(0);
}

class Encoder {
  readonly #state: EncoderState;
  readonly #parser: Parser;
  readonly #coder: RangeEncoder;
  #isFirst = true;
  mustReset = true;

  constructor(bytes: Uint8Array, options: LzmaOptions) {
    const { nice, dictionaryBytes, pb } = options;
    const depth = options.depth === 0 ? 16 + nice / 2 : options.depth;
    const probabilities = new Uint16Array(at.probabilityCount(options));
    this.#coder = new RangeEncoder(probabilities, MAX_CHUNK_BYTES + MAX_ROUND_BYTES);
    this.#state = {
      ...options,
      bytes,
      probabilities,
      prices: new Prices(probabilities, { pb, nice, dictionaryBytes }),
      finder: new MatchFinder(bytes, { dictionaryBytes, nice, depth: Math.floor(depth) }),
      state: 0,
      repeats: new Int32Array(at.REPEATS),
    };
    this.#parser = new Parser(this.#state);
  }

  /** Bytes that have been encoded. */
  get position(): number {
    const { finder } = this.#state;
    return finder.position - finder.readAhead;
  }

  reset(): void {
    this.#coder.resetProbabilities();
    this.#state.state = 0;
    this.#state.repeats.fill(0);
    this.#state.prices.reset();
    this.#parser.reset();
    this.mustReset = false;
  }

  /** What was read ahead goes with a chunk that is stored, and the models begin anew. */
  takeReadAhead(): void {
    this.#state.finder.readAhead = 0;
    this.mustReset = true;
  }

  /** The bytes of the next chunk. */
  chunk(): Uint8Array {
    const coder = this.#coder;
    const { finder, bytes } = this.#state;
    coder.begin();
    const end = this.position + MAX_CHUNK_CONTENT_BYTES - at.MAX_MATCH;
    if (this.#isFirst) this.#first();
    while (
      this.position < end &&
      coder.length + coder.pending < MAX_CHUNK_BYTES - MAX_ROUND_BYTES &&
      (finder.position < bytes.length || finder.readAhead > 0)
    ) {
      const { position } = this;
      this.#parser.choose(position);
      this.#write(position, this.#parser.symbol, this.#parser.length);
    }
    coder.finish();
    return coder.buffer.subarray(0, coder.length);
  }

  /** The first symbol always is a literal. */
  #first(): void {
    this.#isFirst = false;
    const { finder, bytes } = this.#state;
    finder.skip(1);
    finder.readAhead = 0;
    this.#coder.bit(at.IS_MATCH, 0);
    this.#coder.tree(at.LITERAL, 8, bytes[0] as number);
  }

  #write(position: number, symbol: number, length: number): void {
    const coder = this.#coder;
    const state = this.#state;
    const posState = position & ((1 << state.pb) - 1);
    const isMatch = at.IS_MATCH + state.state * at.MAX_POS_STATES + posState;
    if (symbol === LITERAL_SYMBOL) {
      coder.bit(isMatch, 0);
      this.#literal(position);
    } else {
      coder.bit(isMatch, 1);
      coder.bit(at.IS_REPEAT + state.state, symbol < at.REPEATS ? 1 : 0);
      if (symbol < at.REPEATS) this.#repeat(posState, symbol, length);
      else this.#match(posState, symbol - at.REPEATS, length);
    }
    state.finder.readAhead -= length;
  }

  #literal(position: number): void {
    const state = this.#state;
    const base = literalCoder(state, position);
    const byte = state.bytes[position] as number;
    const isPlain = state.state < 7;
    state.state = at.afterLiteral(state.state);
    if (isPlain) {
      this.#coder.tree(base, 8, byte);
      return;
    }
    let match = state.bytes[position - (state.repeats[0] as number) - 1] as number;
    let offset = 0x100;
    for (let symbol = byte | 0x100; symbol < 0x10000; ) {
      match <<= 1;
      this.#coder.bit(base + offset + (match & offset) + (symbol >>> 8), (symbol >>> 7) & 1);
      symbol <<= 1;
      offset &= ~(match ^ symbol);
    }
  }

  #match(posState: number, distance: number, length: number): void {
    const coder = this.#coder;
    const { prices, repeats } = this.#state;
    this.#state.state = at.afterMatch(this.#state.state);
    this.#length(at.MATCH_LENGTH, posState, length);
    const slot = at.distanceSlot(distance);
    coder.tree(at.DISTANCE_SLOT + at.distanceState(length) * at.SLOTS, 6, slot);
    if (slot >= at.MODELLED_SLOT) {
      const bits = (slot >> 1) - 1;
      const base = (2 | (slot & 1)) << bits;
      const rest = distance - base;
      if (slot < at.MODELLED_SLOT_END) {
        coder.reverseTree(at.DISTANCE_SPECIAL + base - slot - 1, bits, rest);
      } else {
        coder.direct(rest >>> at.ALIGN_BITS, bits - at.ALIGN_BITS);
        coder.reverseTree(at.DISTANCE_ALIGN, at.ALIGN_BITS, rest & (at.ALIGN_SIZE - 1));
        prices.alignedSince += 1;
      }
    }
    repeats.copyWithin(1, 0, at.REPEATS - 1);
    repeats[0] = distance;
    prices.matchesSince += 1;
  }

  #repeat(posState: number, index: number, length: number): void {
    const coder = this.#coder;
    const { repeats, state } = this.#state;
    if (index === 0) {
      coder.bit(at.IS_REPEAT0 + state, 0);
      const isLong = at.IS_REPEAT0_LONG + state * at.MAX_POS_STATES + posState;
      coder.bit(isLong, length === 1 ? 0 : 1);
    } else {
      coder.bit(at.IS_REPEAT0 + state, 1);
      coder.bit(at.IS_REPEAT1 + state, index === 1 ? 0 : 1);
      if (index > 1) coder.bit(at.IS_REPEAT2 + state, index - 2);
      const distance = repeats[index] as number;
      repeats.copyWithin(1, 0, index);
      repeats[0] = distance;
    }
    if (length === 1) {
      this.#state.state = at.afterShortRepeat(state);
    } else {
      this.#length(at.REPEAT_LENGTH, posState, length);
      this.#state.state = at.afterRepeat(state);
    }
  }

  #length(coderAt: number, posState: number, length: number): void {
    const coder = this.#coder;
    this.#state.prices.countLength(coderAt, posState);
    const rest = length - at.MIN_MATCH;
    coder.bit(coderAt, rest < 8 ? 0 : 1);
    if (rest < 8) {
      coder.tree(coderAt + at.LENGTH_LOW + posState * 8, 3, rest);
      return;
    }
    coder.bit(coderAt + at.LENGTH_CHOICE2, rest < 16 ? 0 : 1);
    if (rest < 16) coder.tree(coderAt + at.LENGTH_MID + posState * 8, 3, rest - 8);
    else coder.tree(coderAt + at.LENGTH_HIGH, 8, rest - 16);
  }
}
