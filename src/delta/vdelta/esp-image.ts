import { type Executable, overlap, type Segment } from "./executables.ts";

/** Images lie at the beginning of a flash sector. */
const ALIGNMENT = 4096;
const MAGIC = 0xe9;
const MAX_SEGMENTS = 16;
const SEGMENT_HEAD_BYTES = 8;
/** Of the ESP8266, and of everything since, which adds what chip it is for. */
const HEADS = [8, 24] as const;
const CHECKSUM_SEED = 0xef;
const LAST_OF_16 = 15;
/** Padding between segments has no address. */
const LOWEST_ADDRESS = 0x3000_0000;
const HIGHEST_ADDRESS = 0x6000_0000;

/**
 * Firmware images of Espressif's chips ("Firmware Image Format" of esptool): a head, then segments each
 * behind its address and size, then a sum over all of their bytes, which tells them from anything else.
 */
export function findEspImages(image: Uint8Array): Executable[] {
  const found: Executable[] = [];
  for (let start = 0; start < image.length; start += ALIGNMENT) {
    if (image[start] !== MAGIC) continue;
    for (const headBytes of HEADS) {
      const segments = readSegments(image, start, headBytes);
      if (!segments) continue;
      found.push({ start, architecture: "none", segments });
      break;
    }
  }
  return found;
}

function readSegments(image: Uint8Array, start: number, headBytes: number): Segment[] | undefined {
  const view = new DataView(image.buffer, image.byteOffset, image.length);
  const count = image[start + 1] ?? 0;
  if (count === 0 || count > MAX_SEGMENTS) return undefined;
  const segments: Segment[] = [];
  let at = start + headBytes;
  for (let index = 0; index < count; index++) {
    if (at + SEGMENT_HEAD_BYTES > image.length) return undefined;
    const address = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    at += SEGMENT_HEAD_BYTES;
    if (length % 4 !== 0 || length > image.length - at) return undefined;
    const isLoaded = address >= LOWEST_ADDRESS && address < HIGHEST_ADDRESS;
    if (isLoaded && length > 0) segments.push({ start: at, length, address });
    at += length;
  }
  const sumAt = (at - start) | LAST_OF_16;
  if (image[start + sumAt] !== checksum(image, start + headBytes, count)) return undefined;
  return segments.length > 0 && !overlap(segments) ? segments : undefined;
}

function checksum(image: Uint8Array, from: number, count: number): number {
  const view = new DataView(image.buffer, image.byteOffset, image.length);
  let sum = CHECKSUM_SEED;
  let at = from;
  for (let index = 0; index < count; index++) {
    const end = at + SEGMENT_HEAD_BYTES + view.getUint32(at + 4, true);
    for (let byte = at + SEGMENT_HEAD_BYTES; byte < end; byte++) sum ^= image[byte] as number;
    at = end;
  }
  return sum;
}
