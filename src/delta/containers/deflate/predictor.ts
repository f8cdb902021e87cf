import { refusePatch } from "../../format.ts";
import {
  distanceOf,
  lengthOf,
  MAX_MATCH,
  MIN_MATCH,
  matchToken,
  type Token,
  WINDOW_BYTES,
} from "./tables.ts";

/** How a packer searches; zlib and gzip have the same nine levels. */
export interface SearchSettings {
  level: number;
  /** Bits of the hash: 15, or 16 where zlib was given more memory. */
  hashBits: number;
}

interface Level {
  /** From this length of a match on, the search for a better one is cut to a quarter. */
  good: number;
  /** Below this, the next byte is tried too; in the fast levels, up to this every byte is indexed. */
  lazy: number;
  /** A match of this length ends the search. */
  nice: number;
  chain: number;
}

export const LEVELS: readonly Level[] = [
  { good: 0, lazy: 0, nice: 0, chain: 0 },
  { good: 4, lazy: 4, nice: 8, chain: 4 },
  { good: 4, lazy: 5, nice: 16, chain: 8 },
  { good: 4, lazy: 6, nice: 32, chain: 32 },
  { good: 4, lazy: 4, nice: 16, chain: 16 },
  { good: 8, lazy: 16, nice: 32, chain: 32 },
  { good: 8, lazy: 16, nice: 128, chain: 128 },
  { good: 8, lazy: 32, nice: 128, chain: 256 },
  { good: 32, lazy: 128, nice: 258, chain: 1024 },
  { good: 32, lazy: 258, nice: 258, chain: 4096 },
];
const FIRST_LAZY_LEVEL = 4;
/** A match of three bytes from farther away is not taken. */
const TOO_FAR = 4096;
/** Bytes that are looked at before a choice, unless the content ends. */
export const LOOK_AHEAD = MAX_MATCH + MIN_MATCH + 1;
const MAX_DISTANCE = WINDOW_BYTES - LOOK_AHEAD;
/** What is given at once may be as long as this. */
export const MAX_FEED_BYTES = 64 * 1024;
const KEPT_BYTES = WINDOW_BYTES + LOOK_AHEAD;

/**
 * Says which token zlib or gzip would put next, given those before: it follows their search step by
 * step. Where the packer did otherwise it is told so, and goes on from there.
 */
export class TokenPredictor {
  readonly #level: Level;
  readonly #isLazy: boolean;
  readonly #shift: number;
  readonly #mask: number;
  readonly #heads: Int32Array;
  readonly #chain = new Int32Array(WINDOW_BYTES);
  /** A part of the content, from `#base` on. */
  readonly #bytes = new Uint8Array(2 * KEPT_BYTES + MAX_FEED_BYTES);
  #base = 0;
  #end = 0;
  /** The place that is being looked at; with a pending byte, one behind the next token's. */
  #at = 0;
  #isPending = false;
  #isSearched = false;
  #length = MIN_MATCH - 1;
  #start = 0;
  #previousLength = MIN_MATCH - 1;
  #previousStart = 0;

  constructor({ level, hashBits }: SearchSettings) {
    this.#level = LEVELS[level] as Level;
    this.#isLazy = level >= FIRST_LAZY_LEVEL;
    this.#shift = Math.floor((hashBits + MIN_MATCH - 1) / MIN_MATCH);
    this.#mask = 2 ** hashBits - 1;
    this.#heads = new Int32Array(2 ** hashBits);
  }

  /** Content that tokens have been made for. */
  get position(): number {
    return this.#isPending ? this.#at - 1 : this.#at;
  }

  /** Content that is known. */
  get known(): number {
    return this.#end;
  }

  /** More content; so much that, unless it ends, LOOK_AHEAD + MAX_MATCH bytes are ahead. */
  feed(bytes: Uint8Array): void {
    if (this.#end + bytes.length - this.#base > this.#bytes.length) {
      const keepFrom = Math.max(this.#base, this.#at - KEPT_BYTES);
      this.#bytes.copyWithin(0, keepFrom - this.#base, this.#end - this.#base);
      this.#base = keepFrom;
    }
    this.#bytes.set(bytes, this.#end - this.#base);
    this.#end += bytes.length;
  }

  byteAt(position: number): number {
    return this.#bytes[position - this.#base] as number;
  }

  slice(position: number, length: number): Uint8Array {
    return this.#bytes.slice(position - this.#base, position - this.#base + length);
  }

  /** The token that is expected next; there is content left. */
  predict(): Token {
    if (!this.#isLazy) return this.#predictFast();
    for (;;) {
      if (!this.#isSearched && this.#at < this.#end) this.#searchLazily();
      const isTaken = this.#previousLength >= MIN_MATCH && this.#length <= this.#previousLength;
      if (this.#isSearched && isTaken) {
        return matchToken(this.#previousLength, this.#at - 1 - this.#previousStart);
      }
      if (this.#isPending) return this.byteAt(this.#at - 1);
      this.#isPending = true;
      this.#isSearched = false;
      this.#at += 1;
    }
  }

  /** What was really put; called after each prediction. */
  accept(token: Token): void {
    const length = token < 256 ? 1 : lengthOf(token);
    if (this.position + length > this.#end) throw refusePatch("a token reaches beyond the content");
    if (token >= 256) this.#checkMatch(lengthOf(token), distanceOf(token));
    else if (token !== this.byteAt(this.position)) throw refusePatch("a token is another byte");
    if (!this.#isLazy) this.#acceptFast(length);
    else if (token < 256) this.#acceptLiteral();
    else this.#acceptMatch(length);
  }

  #checkMatch(length: number, distance: number): void {
    const at = this.position;
    const isWithin = distance >= 1 && distance <= Math.min(at, WINDOW_BYTES);
    if (!isWithin || length < MIN_MATCH || length > MAX_MATCH) {
      throw refusePatch("a token points outside of the content");
    }
    for (let index = 0; index < length; index++) {
      if (this.byteAt(at + index) !== this.byteAt(at + index - distance)) {
        throw refusePatch("a token repeats other bytes");
      }
    }
  }

  #acceptLiteral(): void {
    if (!this.#isSearched) {
      this.#isPending = false;
      return;
    }
    this.#at += 1;
    this.#isSearched = false;
  }

  #acceptMatch(length: number): void {
    // The byte at #at has been indexed by the search; those behind it are indexed now.
    const end = this.#at - 1 + length;
    for (let at = this.#at + 1; at < end; at++) this.#insert(at);
    this.#at = end;
    this.#isPending = false;
    this.#isSearched = false;
    this.#length = MIN_MATCH - 1;
  }

  #searchLazily(): void {
    const at = this.#at;
    const head = this.#insert(at);
    this.#previousLength = this.#length;
    this.#previousStart = this.#start;
    this.#length = MIN_MATCH - 1;
    const isNear = head > 0 && at - head <= MAX_DISTANCE;
    if (isNear && this.#previousLength < this.#level.lazy) {
      this.#search(head, this.#previousLength);
      if (this.#length === MIN_MATCH && at - this.#start > TOO_FAR) this.#length = MIN_MATCH - 1;
    }
    this.#isSearched = true;
  }

  #predictFast(): Token {
    const at = this.#at;
    const head = this.#insert(at);
    this.#length = MIN_MATCH - 1;
    if (head > 0 && at - head <= MAX_DISTANCE) this.#search(head, MIN_MATCH - 1);
    if (this.#length < MIN_MATCH) return this.byteAt(at);
    return matchToken(this.#length, at - this.#start);
  }

  #acceptFast(length: number): void {
    const end = this.#at + length;
    const isIndexed = length > 1 && length <= this.#level.lazy && this.#end - end >= MIN_MATCH;
    if (isIndexed) for (let at = this.#at + 1; at < end; at++) this.#insert(at);
    this.#at = end;
  }

  /** Indexes a place; the latest one before it with the same hash, 0 for none. */
  #insert(at: number): number {
    if (at + MIN_MATCH > this.#end) return 0;
    const from = at - this.#base;
    const bytes = this.#bytes;
    const shift = this.#shift;
    const hash =
      (((bytes[from] as number) << (2 * shift)) ^
        ((bytes[from + 1] as number) << shift) ^
        (bytes[from + 2] as number)) &
      this.#mask;
    const head = this.#heads[hash] as number;
    this.#chain[at & (WINDOW_BYTES - 1)] = head;
    this.#heads[hash] = at;
    return head;
  }

  /** The first of the longest matches that are longer than `already`. */
  #search(head: number, already: number): void {
    const { good, nice: niceLength, chain } = this.#level;
    const bytes = this.#bytes;
    const base = this.#base;
    const from = this.#at - base;
    const ahead = Math.min(this.#end - this.#at, MAX_MATCH);
    const limit = Math.max(this.#at - MAX_DISTANCE, 0);
    const nice = Math.min(niceLength, this.#end - this.#at);
    let left = already >= good ? chain >> 2 : chain;
    let best = already;
    let candidate = head;
    do {
      const to = candidate - base;
      if (
        bytes[to + best] === bytes[from + best] &&
        bytes[to + best - 1] === bytes[from + best - 1]
      ) {
        let length = 0;
        while (length < ahead && bytes[to + length] === bytes[from + length]) length += 1;
        if (length > best) {
          best = length;
          this.#start = candidate;
          if (length >= nice) break;
        }
      }
      candidate = this.#chain[candidate & (WINDOW_BYTES - 1)] as number;
    } while (candidate > limit && --left > 0);
    this.#length = Math.min(best, this.#end - this.#at);
  }
}
