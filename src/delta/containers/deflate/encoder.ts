import { refusePatch } from "../../format.ts";
import { BitReader, BitWriter } from "./bits.ts";
import { codesOf } from "./huffman.ts";
import { DYNAMIC, FIXED, STORED } from "./inflate.ts";
import {
  DISTANCE_BASE,
  DISTANCE_CODES,
  DISTANCE_EXTRA,
  distanceIndex,
  distanceOf,
  END_OF_BLOCK,
  FIXED_DISTANCES,
  FIXED_LITERALS,
  LENGTH_BASE,
  LENGTH_EXTRA,
  LITERAL_CODES,
  lengthIndex,
  lengthOf,
  type Token,
} from "./tables.ts";
import { type BlockCodes, blockCodes, readCodes, writeCodes } from "./trees.ts";

/** Writes blocks of tokens; the codes are those that zlib would choose, unless told otherwise. */
export class BlockWriter {
  readonly #output = new BitWriter();

  coded(tokens: Uint32Array, isLast: boolean, type: number, head: Uint8Array | undefined): void {
    const output = this.#output;
    output.bits(isLast ? 1 : 0, 1);
    output.bits(type, 2);
    if (type === FIXED) {
      this.#tokens(tokens, { literals: FIXED_LITERALS, distances: FIXED_DISTANCES });
      return;
    }
    const codes = head ? this.#copyHead(head) : codesFor(tokens);
    if (!head) writeCodes(output, codes);
    this.#tokens(tokens, codes);
  }

  stored(bytes: Uint8Array, isLast: boolean): void {
    const output = this.#output;
    output.bits(isLast ? 1 : 0, 1);
    output.bits(STORED, 2);
    output.align();
    output.bits(bytes.length, 16);
    output.bits(bytes.length ^ 0xffff, 16);
    output.bytes(bytes);
  }

  takeChunks(): Uint8Array[] {
    return this.#output.takeChunks();
  }

  finish(): Uint8Array[] {
    return this.#output.finish();
  }

  /** The number of bits, modulo 8, then the bits of a head that was chosen otherwise. */
  #copyHead(head: Uint8Array): BlockCodes {
    const count = 8 * (head.length - 2) + (head[0] as number);
    const body = head.subarray(1);
    const codes = readCodes(new BitReader(body, 0));
    const bits = new BitReader(body, 0);
    for (let left = count; left > 0; left -= 8) {
      const width = Math.min(8, left);
      this.#output.bits(bits.bits(width), width);
    }
    return codes;
  }

  #tokens(tokens: Uint32Array, lengths: BlockCodes): void {
    const output = this.#output;
    const literals = codesOf(lengths.literals);
    const distances = codesOf(lengths.distances);
    const put = (codes: Uint16Array, bits: Uint8Array, symbol: number) => {
      const length = bits[symbol] ?? 0;
      if (length === 0) throw refusePatch("a block has no code for one of its tokens");
      output.bits(codes[symbol] as number, length);
    };
    for (const token of tokens) {
      if (token < END_OF_BLOCK) {
        put(literals, lengths.literals, token);
        continue;
      }
      const length = lengthOf(token);
      const lengthAt = lengthIndex(length);
      put(literals, lengths.literals, 257 + lengthAt);
      output.bits(length - (LENGTH_BASE[lengthAt] as number), LENGTH_EXTRA[lengthAt] as number);
      const distance = distanceOf(token);
      const distanceAt = distanceIndex(distance);
      put(distances, lengths.distances, distanceAt);
      const extra = DISTANCE_EXTRA[distanceAt] as number;
      output.bits(distance - (DISTANCE_BASE[distanceAt] as number), extra);
    }
    put(literals, lengths.literals, END_OF_BLOCK);
  }
}

/** The codes that zlib would choose for these tokens. */
export function codesFor(tokens: Iterable<Token>): BlockCodes {
  const literals = new Uint32Array(LITERAL_CODES);
  const distances = new Uint32Array(DISTANCE_CODES);
  literals[END_OF_BLOCK] = 1;
  const count = (counts: Uint32Array, symbol: number) => {
    counts[symbol] = (counts[symbol] as number) + 1;
  };
  for (const token of tokens) {
    if (token < END_OF_BLOCK) count(literals, token);
    else {
      count(literals, 257 + lengthIndex(lengthOf(token)));
      count(distances, distanceIndex(distanceOf(token)));
    }
  }
  return blockCodes(literals, distances);
}

/** The bits that `head` marks in a stream, as BlockWriter takes them. */
export function headBits(
  bytes: Uint8Array,
  { from, to }: { from: number; to: number },
): Uint8Array {
  const reader = new BitReader(bytes, from >> 3);
  reader.bits(from & 7);
  const count = to - from;
  const result = new Uint8Array(2 + ((count - 1) >> 3));
  result[0] = ((count - 1) & 7) + 1;
  for (let index = 0; 8 * index < count; index++) {
    result[1 + index] = reader.bits(Math.min(8, count - 8 * index));
  }
  return result;
}

/** The head that zlib would write, in the same shape. */
export function expectedHead(codes: BlockCodes): Uint8Array {
  const output = new BitWriter();
  writeCodes(output, codes);
  return Uint8Array.from(Buffer.concat(output.finish()));
}

export { DYNAMIC, FIXED, STORED };
