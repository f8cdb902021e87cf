/** RFC 1951 §3.2.5 to §3.2.7. */
export const END_OF_BLOCK = 256;
export const LITERAL_CODES = 286;
export const DISTANCE_CODES = 30;
export const LENGTH_CODES = 19;
export const MIN_MATCH = 3;
export const MAX_MATCH = 258;
export const WINDOW_BYTES = 32768;
export const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

export const LENGTH_BASE = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
  163, 195, 227, 258,
];
export const LENGTH_EXTRA = [
  0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
export const DISTANCE_BASE = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049,
  3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
export const DISTANCE_EXTRA = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
];

/** A literal is its byte; a match is its length and its distance. */
export type Token = number;
const LENGTH_SHIFT = 16;

export function matchToken(length: number, distance: number): Token {
  return (length << LENGTH_SHIFT) | distance;
}

export function lengthOf(token: Token): number {
  return token >>> LENGTH_SHIFT;
}

export function distanceOf(token: Token): number {
  return token & 0xffff;
}

/** How many bytes a token makes. */
export function sizeOf(token: Token): number {
  return token < 256 ? 1 : lengthOf(token);
}

/** Index into LENGTH_BASE by length - 3. */
export const LENGTH_INDEX = indexOfBases(LENGTH_BASE, MAX_MATCH);
const DISTANCE_INDEX = indexOfBases(DISTANCE_BASE, WINDOW_BYTES);

function indexOfBases(bases: readonly number[], max: number): Uint8Array {
  const index = new Uint8Array(max + 1);
  let at = 0;
  for (let value = bases[0] as number; value <= max; value++) {
    if (bases[at + 1] === value) at += 1;
    index[value] = at;
  }
  return index;
}

export function lengthIndex(length: number): number {
  return LENGTH_INDEX[length] as number;
}

export function distanceIndex(distance: number): number {
  return DISTANCE_INDEX[distance] as number;
}

/** RFC 1951 §3.2.6. */
export const FIXED_LITERALS = Uint8Array.from({ length: 288 }, (_, code) => {
  if (code < 144) return 8;
  if (code < 256) return 9;
  return code < 280 ? 7 : 8;
});
export const FIXED_DISTANCES = new Uint8Array(30).fill(5);
