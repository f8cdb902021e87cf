// One binary decision after another, by a carry-less range coder of 32 bits: the same model runs in both
// directions.

let low: u32 = 0;
let high: u32 = 0xffffffff;
let value: u32 = 0;
/** Input of the decoder, output of the encoder. */
let at: usize = 0;
let end: usize = 0;
/** Whether the bits are given or found out. */
export let isEncoding: bool = false;
/** The decoder ran out of input; what it makes from here on is worth nothing. */
export let isCutShort: bool = false;

export function beginCoding(encoding: bool): void {
  isEncoding = encoding;
  isCutShort = false;
  low = 0;
  high = 0xffffffff;
  value = 0;
  if (encoding) return;
  for (let index = 0; index < 4; index++) value = (value << 8) | next();
}

/** Where the bytes lie that come next, or go next. */
export function setBuffer(from: usize, to: usize): void {
  at = from;
  end = to;
}

/** How far the buffer has been used. */
export function bufferUsed(): usize {
  return at;
}

/** Codes one bit; `p1` is the probability of a one in 1/65536, 1 to 65535. */
export function codeBit(bit: i32, p1: i32): i32 {
  const range = high - low;
  const p: u32 = p1;
  const middle = low + (range >>> 16) * p + (((range & 0xffff) * p) >>> 16);
  if (!isEncoding) bit = value <= middle ? 1 : 0;
  if (bit) high = middle;
  else low = middle + 1;
  while (((low ^ high) & 0xff000000) === 0) shift();
  return bit;
}

function shift(): void {
  if (isEncoding) put(high >>> 24);
  else value = (value << 8) | next();
  low = low << 8;
  high = (high << 8) | 0xff;
}

/** Ends what the encoder writes. */
export function finishCoding(): void {
  for (let left = 24; left >= 0; left -= 8) put((low >>> left) & 0xff);
}

function next(): u32 {
  if (at >= end) {
    isCutShort = true;
    return 0;
  }
  const byte: u32 = load<u8>(at);
  at += 1;
  return byte;
}

/** The caller empties the buffer before it is full. */
function put(byte: u32): void {
  store<u8>(at, byte);
  at += 1;
}
