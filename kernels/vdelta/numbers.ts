import { codeBit } from "./range-coder";
import { reciprocal } from "./tables";

const ROWS: i32 = 12;
const ROW: i32 = 1024;
const MAX_BITS: i32 = 32;
const COUNT_LIMIT: i32 = 255;
const MIN_PROBABILITY: i32 = 64;

/** 16 bits of probability and 16 of count each. */
const cells = memory.data(ROWS * ROW * 4, 16);
/** A number of more bits than there are was coded; only a hostile patch does that. */
export let isImpossible: bool = false;

export function resetNumbers(): void {
  isImpossible = false;
  for (let at: usize = 0; at < <usize>(ROWS * ROW * 4); at += 4) store<u32>(cells + at, 32768);
}

/** Codes a whole number of up to 32 bits: its length in unary, then its bits; all adaptive. */
export function codeNumber(value: u32, row: i32): u32 {
  const base = row * ROW;
  const bits = value > 0 ? 32 - <i32>clz(value) : 0;
  let length = 0;
  while (code(length < bits ? 1 : 0, base + length)) {
    length += 1;
    if (length > MAX_BITS) {
      isImpossible = true;
      return 0;
    }
  }
  if (length < 2) return length;
  let result: u32 = 1;
  for (let shift = length - 2; shift >= 0; shift--) {
    const depth = length - 2 - shift;
    // The leading bits say something about each other; the others are nearly random.
    const node = depth < 3 ? (1 << depth) + <i32>(result & ((1 << depth) - 1)) : 8 + (shift & 7);
    const bit = code((value >>> shift) & 1, base + 64 + length * 16 + node);
    result = (result << 1) | bit;
  }
  return result;
}

function code(bit: i32, cell: i32): i32 {
  const at = cells + ((<usize>cell) << 2);
  const probability: i32 = load<u16>(at);
  const count: i32 = load<u16>(at, 2);
  const coded = codeBit(bit, min(max(probability, MIN_PROBABILITY), 65536 - MIN_PROBABILITY));
  const away = (coded ? 65535 : 0) - probability;
  store<u16>(at, probability + ((away * reciprocal(count)) >> 15));
  if (count < COUNT_LIMIT) store<u16>(at, count + 1, 2);
  return coded;
}
