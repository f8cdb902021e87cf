import * as at from "./layout.ts";
import type { MatchFinder } from "./match-finder.ts";
import type { Prices } from "./prices.ts";
import { priceOfBit, priceOfTree } from "./range-encoder.ts";

/** What the parser and the writer of symbols share. */
export interface EncoderState extends at.LiteralProperties {
  bytes: Uint8Array;
  probabilities: Uint16Array;
  prices: Prices;
  finder: MatchFinder;
  nice: number;
  state: number;
  /** The last four distances, less one. */
  repeats: Int32Array;
}

/** Where the literal coder for the byte at `position` lies. */
export function literalCoder(encoder: EncoderState, position: number): number {
  const { lc, lp } = encoder;
  const before = position === 0 ? 0 : (encoder.bytes[position - 1] as number);
  const index = ((position & ((1 << lp) - 1)) << lc) + (before >>> (8 - lc));
  return at.LITERAL + index * at.LITERAL_CODER;
}

/** Price of the literal at `position`; `matched` is the byte that the last match would give, or -1. */
export function literalPrice(encoder: EncoderState, position: number, matched: number): number {
  const p = encoder.probabilities;
  const base = literalCoder(encoder, position);
  const byte = encoder.bytes[position] as number;
  if (matched < 0) return priceOfTree(p, base, 8, byte);
  let price = 0;
  let offset = 0x100;
  let match = matched;
  for (let symbol = byte | 0x100; symbol < 0x10000; ) {
    match <<= 1;
    const place = base + offset + (match & offset) + (symbol >>> 8);
    price += priceOfBit(p[place] as number, (symbol >>> 7) & 1);
    symbol <<= 1;
    offset &= ~(match ^ symbol);
  }
  return price;
}
