import { crc32 } from "node:zlib";
import { MAX_MATCH } from "./layout.ts";

const HASH2_SIZE = 1 << 10;
const HASH3_SIZE = 1 << 16;
const HASH2_MASK = HASH2_SIZE - 1;
const HASH3_MASK = HASH3_SIZE - 1;
const MIN_BYTES = 4;
let madeTable: Uint32Array | undefined;

/** The first table of CRC-32, which scatters single bytes; made for the first finder. */
function byteTable(): Uint32Array {
  if (madeTable) return madeTable;
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    // CRC-32 begins and ends inverted: what is left without both is the table's entry.
    const inverted = crc32(Uint8Array.of(byte ^ 0xff), 0) ^ 0xffffffff;
    table[byte] = (inverted ^ 0x00ffffff) >>> 0;
  }
  madeTable = table;
  return table;
}

export interface MatchFinderOptions {
  dictionaryBytes: number;
  /** A match of this length ends a search. */
  nice: number;
  /** Nodes of the tree that a search visits. */
  depth: number;
}

/**
 * The binary trees with hashes of two, three and four bytes ("bt4") that LZMA encoders search. For
 * each length the nearest match is found; which ones are found decides every bit of what follows.
 */
export class MatchFinder {
  readonly #bytes: Uint8Array;
  readonly #scatter = byteTable();
  readonly #nice: number;
  readonly #depth: number;
  readonly #cyclicSize: number;
  readonly #hash2 = new Int32Array(HASH2_SIZE);
  readonly #hash3 = new Int32Array(HASH3_SIZE);
  readonly #hash4: Int32Array;
  readonly #hashMask: number;
  readonly #sons: Int32Array;
  #cyclicPosition = 0;
  position = 0;
  /** Bytes that were searched but not yet encoded. */
  readAhead = 0;
  /** Ascending lengths and their distances less one. */
  readonly lengths = new Int32Array(MAX_MATCH + 2);
  readonly distances = new Int32Array(MAX_MATCH + 2);
  count = 0;

  constructor(bytes: Uint8Array, options: MatchFinderOptions) {
    this.#bytes = bytes;
    this.#nice = options.nice;
    this.#depth = options.depth;
    // No distance is larger than what is there.
    this.#cyclicSize = Math.min(options.dictionaryBytes, bytes.length) + 1;
    this.#hashMask = hashMask(options.dictionaryBytes);
    this.#hash4 = new Int32Array(this.#hashMask + 1);
    this.#sons = new Int32Array(2 * this.#cyclicSize);
  }

  get available(): number {
    return this.#bytes.length - this.position;
  }

  /** Finds the matches at the present byte and goes on to the next; the longest one's length. */
  find(): number {
    this.count = 0;
    this.#advance(true);
    this.readAhead += 1;
    if (this.count === 0) return 0;
    const longest = this.lengths[this.count - 1] as number;
    if (longest < this.#nice) return longest;
    const limit = Math.min(this.available + 1, MAX_MATCH);
    const at = this.position - 1;
    return this.#agreeing(at - (this.distances[this.count - 1] as number) - 1, at, longest, limit);
  }

  skip(amount: number): void {
    for (let count = 0; count < amount; count++) this.#advance(false);
    this.readAhead += amount;
  }

  #agreeing(from: number, at: number, already: number, limit: number): number {
    const bytes = this.#bytes;
    let length = already;
    while (length < limit && bytes[from + length] === bytes[at + length]) length += 1;
    return length;
  }

  #advance(wanted: boolean): void {
    const limit = Math.min(this.available, this.#nice);
    if (limit < MIN_BYTES) {
      this.position += 1;
      return;
    }
    const bytes = this.#bytes;
    const scatter = this.#scatter;
    const at = this.position;
    const scattered = (scatter[bytes[at] as number] as number) ^ (bytes[at + 1] as number);
    const three = scattered ^ ((bytes[at + 2] as number) << 8);
    const hash2 = scattered & HASH2_MASK;
    const hash3 = three & HASH3_MASK;
    const hash4 = (three ^ ((scatter[bytes[at + 3] as number] as number) << 5)) & this.#hashMask;
    // Counted from here so that an empty entry is too far away for a match.
    const place = at + this.#cyclicSize;
    const near2 = place - (this.#hash2[hash2] as number);
    const near3 = place - (this.#hash3[hash3] as number);
    const candidate = this.#hash4[hash4] as number;
    this.#hash2[hash2] = place;
    this.#hash3[hash3] = place;
    this.#hash4[hash4] = place;
    let best = wanted ? this.#short(at, near2, near3, limit) : 0;
    const isDone = best === limit;
    best = Math.max(best, 3);
    this.#descend(at, candidate, limit, wanted && !isDone ? best : limit);
    if (++this.#cyclicPosition === this.#cyclicSize) this.#cyclicPosition = 0;
    this.position += 1;
  }

  /** Matches that the small hashes know. */
  #short(at: number, near2: number, near3: number, limit: number): number {
    const bytes = this.#bytes;
    let near = near2;
    let best = 1;
    if (near2 < this.#cyclicSize && bytes[at - near2] === bytes[at]) {
      best = 2;
      this.#add(2, near2);
    }
    if (near2 !== near3 && near3 < this.#cyclicSize && bytes[at - near3] === bytes[at]) {
      best = 3;
      near = near3;
      this.#add(3, near3);
    }
    if (this.count === 0) return best;
    best = this.#agreeing(at - near, at, best, limit);
    this.lengths[this.count - 1] = best;
    return best;
  }

  #add(length: number, distance: number): void {
    this.lengths[this.count] = length;
    this.distances[this.count++] = distance - 1;
  }

  /** Makes the present byte the root of its tree; notes what is longer than `noted` on the way. */
  #descend(at: number, candidate: number, limit: number, noted: number): void {
    const bytes = this.#bytes;
    const sons = this.#sons;
    const size = this.#cyclicSize;
    const here = this.#cyclicPosition;
    const place = at + size;
    let best = noted;
    let next = candidate;
    let larger = 2 * here + 1;
    let smaller = 2 * here;
    let largerLength = 0;
    let smallerLength = 0;
    for (let left = this.#depth; ; left--) {
      const delta = place - next;
      if (left === 0 || delta >= size) {
        sons[larger] = 0;
        sons[smaller] = 0;
        return;
      }
      const pair = 2 * (here - delta + (delta > here ? size : 0));
      const from = at - delta;
      let length = largerLength < smallerLength ? largerLength : smallerLength;
      if (bytes[from + length] === bytes[at + length]) {
        length += 1;
        while (length < limit && bytes[from + length] === bytes[at + length]) length += 1;
        if (length > best) {
          best = length;
          this.#add(length, delta);
        }
        if (length === limit) {
          sons[smaller] = sons[pair] as number;
          sons[larger] = sons[pair + 1] as number;
          return;
        }
      }
      if ((bytes[from + length] as number) < (bytes[at + length] as number)) {
        sons[smaller] = next;
        smaller = pair + 1;
        next = sons[smaller] as number;
        smallerLength = length;
      } else {
        sons[larger] = next;
        larger = pair;
        next = sons[larger] as number;
        largerLength = length;
      }
    }
  }
}

function hashMask(dictionaryBytes: number): number {
  let mask = dictionaryBytes - 1;
  for (const shift of [1, 2, 4, 8]) mask |= mask >>> shift;
  mask = (mask >>> 1) | 0xffff;
  return mask > 2 ** 24 ? mask >>> 1 : mask;
}

/** Bytes that a finder over `sizeBytes` holds. */
export function matchFinderMemory(sizeBytes: number, dictionaryBytes: number): number {
  const nodes = Math.min(dictionaryBytes, sizeBytes) + 1;
  return 8 * nodes + 4 * (hashMask(dictionaryBytes) + 1 + HASH2_SIZE + HASH3_SIZE);
}
