import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

/** ECMA-182, mirrored, as xz uses it: the halves of the table's entries. */
const POLYNOMIAL_HIGH = 0xc96c5795;
const POLYNOMIAL_LOW = 0xd7870f42;
const [CRC64_LOW, CRC64_HIGH] = crc64Tables();

function crc64Tables(): [Int32Array, Int32Array] {
  const lows = new Int32Array(256);
  const highs = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let low = byte;
    let high = 0;
    for (let bit = 0; bit < 8; bit++) {
      const isOdd = low & 1;
      low = (low >>> 1) | (high << 31);
      high >>>= 1;
      if (isOdd) {
        low ^= POLYNOMIAL_LOW;
        high ^= POLYNOMIAL_HIGH;
      }
    }
    lows[byte] = low;
    highs[byte] = high;
  }
  return [lows, highs];
}

function crc64(bytes: Uint8Array): Uint8Array {
  let low = -1;
  let high = -1;
  for (let index = 0; index < bytes.length; index++) {
    const entry = (low ^ (bytes[index] as number)) & 0xff;
    low = ((low >>> 8) | (high << 24)) ^ (CRC64_LOW[entry] as number);
    high = (high >>> 8) ^ (CRC64_HIGH[entry] as number);
  }
  return littleEndian([~low, ~high]);
}

export function crc32Bytes(bytes: Uint8Array): Uint8Array {
  return littleEndian([crc32(bytes)]);
}

/** Words of 32 bits as bytes. */
export function littleEndian(words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * words.length);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of words.entries()) view.setUint32(4 * index, word >>> 0, true);
  return bytes;
}

/** The checks of xz by their ids (The .xz File Format 1.2.1 §2.1.1.2); undefined: unknown here. */
export function xzCheck(id: number, bytes: Uint8Array): Uint8Array | undefined {
  switch (id) {
    case 0:
      return new Uint8Array(0);
    case 1:
      return crc32Bytes(bytes);
    case 4:
      return crc64(bytes);
    case 10:
      return createHash("sha256").update(bytes).digest();
    default:
      return undefined;
  }
}

const ADLER_MODULUS = 65521;
/** So many bytes can be added before the sums have to be reduced (RFC 1950 §9 gives the idea). */
const ADLER_RUN = 3800;

export function adler32(bytes: Uint8Array, start = 1): number {
  let low = start & 0xffff;
  let high = start >>> 16;
  for (let from = 0; from < bytes.length; from += ADLER_RUN) {
    const to = Math.min(from + ADLER_RUN, bytes.length);
    for (let index = from; index < to; index++) {
      low += bytes[index] as number;
      high += low;
    }
    low %= ADLER_MODULUS;
    high %= ADLER_MODULUS;
  }
  return ((high << 16) | low) >>> 0;
}
