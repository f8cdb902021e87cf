import { AppError } from "../../kernel/errors.ts";
import { ByteReader } from "./byte-reader.ts";
import { crc32Bytes, xzCheck } from "./checksums.ts";
import type { FoundStream } from "./codec.ts";
import type { LiteralProperties } from "./lzma/layout.ts";
import { decodeLzma2 } from "./lzma/lzma2-decoder.ts";
import { filterChain } from "./xz-filters.ts";

export const XZ_MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] as const;
const HEADER_BYTES = 12;
const MAX_NUMBER = 2 ** 48;
/** Where a header does not tell the size, room for the content grows from here. */
const FIRST_GUESS_BYTES = 256 * 1024;

export interface XzBlock {
  content: Uint8Array;
  headerBytes: number;
  /** 1: the header tells the packed size, 2: the content's, 3: both. */
  hasSizes: number;
  /** The flags of its filters as they stand in the header. */
  filters: Uint8Array;
  properties: LiteralProperties | undefined;
}

export interface XzStream {
  check: number;
  blocks: XzBlock[];
}

/** The whole .xz stream that begins at `at`; undefined where there is none, or it holds too much. */
export function findXz(bytes: Uint8Array, at: number, maxBytes: number): FoundStream | undefined {
  try {
    return readXz(bytes.subarray(at), maxBytes);
  } catch (error) {
    if (error instanceof AppError && error.code === "delta-invalid") return undefined;
    throw error;
  }
}

function readXz(bytes: Uint8Array, maxBytes: number): FoundStream | undefined {
  const flags = bytes.subarray(6, 8);
  const isStream =
    bytes.length > HEADER_BYTES &&
    XZ_MAGIC.every((byte, index) => bytes[index] === byte) &&
    flags[0] === 0 &&
    Buffer.compare(crc32Bytes(flags), bytes.subarray(8, HEADER_BYTES)) === 0;
  const check = flags[1] as number;
  if (!isStream || !xzCheck(check, new Uint8Array(0))) return undefined;
  const blocks: XzBlock[] = [];
  let position = HEADER_BYTES;
  let left = maxBytes;
  // An index begins with a zero where a block has the size of its header.
  while (bytes[position] !== 0) {
    const block = readBlock(bytes.subarray(position), check, left);
    if (!block) return undefined;
    blocks.push(block);
    position += block.totalBytes;
    left -= block.content.length;
  }
  const end = endOfIndex(bytes, position);
  if (end === undefined) return undefined;
  const content = new Uint8Array(Buffer.concat(blocks.map((block) => block.content)));
  return { packedBytes: end, content, details: { check, blocks } satisfies XzStream };
}

function readBlock(bytes: Uint8Array, check: number, maxBytes: number) {
  const headerBytes = ((bytes[0] as number) + 1) * 4;
  const reader = new ByteReader(bytes.subarray(1, headerBytes - 4));
  const flags = reader.byte();
  if ((flags & 0x3c) !== 0) return undefined;
  const hasSizes = flags >> 6;
  if (hasSizes & 1) reader.varint(MAX_NUMBER);
  const announced = hasSizes & 2 ? reader.varint(MAX_NUMBER) : undefined;
  if (announced !== undefined && announced > maxBytes) return undefined;
  const filters = reader.bytes((flags & 3) === 0 ? 3 : 5).slice();
  const { filter } = filterChain(filters);
  const read = unpackGrowing(bytes, headerBytes, announced, maxBytes);
  if (!read) return undefined;
  const { content, packedBytes, properties } = read;
  filter?.(content, false);
  const checkAt = headerBytes + packedBytes + (-packedBytes & 3);
  const wanted = xzCheck(check, content) as Uint8Array;
  const totalBytes = checkAt + wanted.length;
  if (Buffer.compare(bytes.subarray(checkAt, totalBytes), wanted) !== 0) return undefined;
  return { content, headerBytes, hasSizes, filters, properties, totalBytes };
}

/** Content of a size that may not be known beforehand. */
function unpackGrowing(
  bytes: Uint8Array,
  from: number,
  announced: number | undefined,
  maxBytes: number,
) {
  let room = announced ?? Math.min(FIRST_GUESS_BYTES, maxBytes);
  for (;;) {
    const output = new Uint8Array(room);
    try {
      const read = decodeLzma2(bytes, from, output);
      return { ...read, content: output.slice(0, read.contentBytes) };
    } catch (error) {
      if (announced !== undefined || room >= maxBytes || room >= bytes.length * 8192) throw error;
      room = Math.min(room * 4, maxBytes);
    }
  }
}

/** Where the stream ends whose index begins at `at`; what the index says is checked by packing. */
function endOfIndex(bytes: Uint8Array, at: number): number | undefined {
  const reader = new ByteReader(bytes.subarray(at));
  reader.byte();
  for (let count = reader.varint(MAX_NUMBER); count > 0; count--) {
    reader.varint(MAX_NUMBER);
    reader.varint(MAX_NUMBER);
  }
  const indexBytes = reader.position + (-reader.position & 3) + 4;
  const end = at + indexBytes + HEADER_BYTES;
  if (end > bytes.length) return undefined;
  return bytes[end - 2] === 0x59 && bytes[end - 1] === 0x5a ? end : undefined;
}
