import { refusePatch } from "../../format.ts";
import type { BitReader } from "./bits.ts";

const MAX_BITS = 15;

/** A canonical code to read by: RFC 1951 §3.2.2. */
export class HuffmanReader {
  /** For 15 bits to come: symbol and its bits; 0 where no code begins so. */
  readonly #table = new Uint16Array(1 << MAX_BITS);

  constructor(lengths: Uint8Array) {
    const codes = codesOf(lengths);
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      const length = lengths[symbol] as number;
      if (length === 0) continue;
      const step = 1 << length;
      const entry = (symbol << 4) | length;
      for (let at = codes[symbol] as number; at < this.#table.length; at += step) {
        this.#table[at] = entry;
      }
    }
  }

  read(input: BitReader): number {
    const entry = this.#table[input.peek()] as number;
    if (entry === 0) throw refusePatch("a deflate stream holds a code that is none");
    input.skip(entry & 15);
    return entry >>> 4;
  }
}

/** The bits of each symbol's code, turned round as they are written. */
export function codesOf(lengths: Uint8Array): Uint16Array {
  const counts = new Uint16Array(MAX_BITS + 2);
  for (const length of lengths)
    if (length > 0) counts[length + 1] = (counts[length + 1] as number) + 1;
  const next = new Uint32Array(MAX_BITS + 2);
  for (let bits = 1; bits <= MAX_BITS; bits++) {
    next[bits] = ((next[bits - 1] as number) + (counts[bits] as number)) << 1;
  }
  const codes = new Uint16Array(lengths.length);
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol] as number;
    if (length === 0) continue;
    const code = next[length] as number;
    next[length] = code + 1;
    if (code >= 1 << length) throw refusePatch("a deflate stream holds too many codes");
    codes[symbol] = reversed(code, length);
  }
  return codes;
}

function reversed(code: number, length: number): number {
  let result = 0;
  for (let bit = 0; bit < length; bit++) result |= ((code >>> bit) & 1) << (length - 1 - bit);
  return result;
}
