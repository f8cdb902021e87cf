import { refusePatch } from "../../format.ts";
import { BitReader } from "./bits.ts";
import { HuffmanReader } from "./huffman.ts";
import {
  DISTANCE_BASE,
  DISTANCE_EXTRA,
  END_OF_BLOCK,
  FIXED_DISTANCES,
  FIXED_LITERALS,
  LENGTH_BASE,
  LENGTH_EXTRA,
  matchToken,
  type Token,
} from "./tables.ts";
import { type BlockCodes, readCodes } from "./trees.ts";

export const STORED = 0;
export const FIXED = 1;
export const DYNAMIC = 2;

export interface DeflateBlock {
  type: number;
  /** Tokens, of a stored block bytes. */
  count: number;
  /** Bits of the head of a dynamic block, from behind its type to its first token. */
  head: { from: number; to: number } | undefined;
}

export interface DeflateStream {
  /** Bytes of the stream, the last perhaps not full. */
  packedBytes: number;
  content: Uint8Array;
  tokens: Uint32Array;
  blocks: DeflateBlock[];
}

const FIXED_CODES = { literals: FIXED_LITERALS, distances: FIXED_DISTANCES };

/**
 * Takes the deflate stream apart that begins at `from`: RFC 1951. Refuses what is none, what makes
 * more than `maxBytes`, and padding that is not zero, which no packer would make again.
 */
export function inflateTokens(bytes: Uint8Array, from: number, maxBytes: number): DeflateStream {
  const input = new BitReader(bytes, from);
  const output = new Output(maxBytes);
  const blocks: DeflateBlock[] = [];
  for (let isLast = false; !isLast; ) {
    isLast = input.bits(1) === 1;
    const type = input.bits(2);
    if (type === STORED) blocks.push(readStored(input, output));
    else if (type === FIXED) blocks.push(readCoded(input, output, FIXED_CODES));
    else if (type === DYNAMIC) {
      const head = { from: input.position, to: 0 };
      const codes = readCodes(input);
      head.to = input.position;
      blocks.push({ ...readCoded(input, output, codes), type, head });
    } else throw refusePatch("a deflate stream holds a block of no kind");
  }
  if (input.align() !== 0) throw refusePatch("a deflate stream has padding that is not zero");
  return { packedBytes: input.position / 8 - from, ...output.finish(), blocks };
}

function readStored(input: BitReader, output: Output): DeflateBlock {
  if (input.align() !== 0) throw refusePatch("a deflate stream has padding that is not zero");
  const length = input.bits(8) | (input.bits(8) << 8);
  const inverse = input.bits(8) | (input.bits(8) << 8);
  if ((length ^ 0xffff) !== inverse) throw refusePatch("a deflate stream is corrupt");
  output.bytes(input.bytes(length));
  return { type: STORED, count: length, head: undefined };
}

function readCoded(input: BitReader, output: Output, codes: BlockCodes): DeflateBlock {
  const literals = new HuffmanReader(codes.literals);
  const distances = new HuffmanReader(codes.distances);
  for (let count = 0; ; count++) {
    const symbol = literals.read(input);
    if (symbol === END_OF_BLOCK) return { type: FIXED, count, head: undefined };
    if (symbol < END_OF_BLOCK) {
      output.literal(symbol);
      continue;
    }
    const lengthAt = symbol - 257;
    const base = LENGTH_BASE[lengthAt];
    if (base === undefined) throw refusePatch("a deflate stream is corrupt");
    const length = base + input.bits(LENGTH_EXTRA[lengthAt] as number);
    // A length of 258 has a code of its own, which every packer takes.
    if (length === 258 && lengthAt !== 28) throw refusePatch("a deflate stream is unusual");
    const distanceAt = distances.read(input);
    const distanceBase = DISTANCE_BASE[distanceAt];
    if (distanceBase === undefined) throw refusePatch("a deflate stream is corrupt");
    output.match(length, distanceBase + input.bits(DISTANCE_EXTRA[distanceAt] as number));
  }
}

/** Content and tokens, in buffers that grow. */
class Output {
  readonly #maxBytes: number;
  #content = new Uint8Array(64 * 1024);
  #length = 0;
  #tokens = new Uint32Array(16 * 1024);
  #count = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  literal(byte: number): void {
    this.#reserve(1);
    this.#content[this.#length++] = byte;
    this.#token(byte);
  }

  match(length: number, distance: number): void {
    if (distance > this.#length) throw refusePatch("a deflate stream is corrupt");
    this.#reserve(length);
    const content = this.#content;
    for (let left = length; left > 0; left--) {
      content[this.#length] = content[this.#length - distance] as number;
      this.#length += 1;
    }
    this.#token(matchToken(length, distance));
  }

  bytes(values: Uint8Array): void {
    this.#reserve(values.length);
    this.#content.set(values, this.#length);
    this.#length += values.length;
  }

  finish(): { content: Uint8Array; tokens: Uint32Array } {
    return {
      content: this.#content.slice(0, this.#length),
      tokens: this.#tokens.slice(0, this.#count),
    };
  }

  #token(token: Token): void {
    if (this.#count === this.#tokens.length) {
      const larger = new Uint32Array(2 * this.#count);
      larger.set(this.#tokens);
      this.#tokens = larger;
    }
    this.#tokens[this.#count++] = token;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed > this.#maxBytes) throw refusePatch("a deflate stream holds more than it may");
    if (needed <= this.#content.length) return;
    const larger = new Uint8Array(2 * needed);
    larger.set(this.#content);
    this.#content = larger;
  }
}
