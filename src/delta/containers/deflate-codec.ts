import { crc32, inflateRawSync } from "node:zlib";
import { AppError } from "../../kernel/errors.ts";
import { refusePatch } from "../format.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { adler32, littleEndian } from "./checksums.ts";
import { type Codec, type Experience, type FoundStream, placesOf } from "./codec.ts";
import { type DeflateStream, inflateTokens } from "./deflate/inflate.ts";
import { planDeflate } from "./deflate/plan.ts";
import type { SearchSettings } from "./deflate/predictor.ts";
import { MAX_BLOCK_TOKENS, readPlan, rebuildDeflate, writePlan } from "./deflate/rebuild.ts";

/** Search tables, window, a block's tokens, output. */
const MEMORY_BYTES = 1024 * 1024 + 4 * MAX_BLOCK_TOKENS;
/** Settings above this share of the packed bytes are not worth it. */
const MAX_SETTINGS_SHARE = 4;
const SMALLEST_SETTINGS_BYTES = 64;

/** The sums that stand behind a deflate stream. */
interface Trailer {
  sizeBytes: number;
  begin(): { add(bytes: Uint8Array): void; finish(): Uint8Array };
}

/** RFC 1952 §2.3.1: CRC-32 and size, little endian. */
const gzipTrailer: Trailer = {
  sizeBytes: 8,
  begin() {
    let sum = 0;
    let size = 0;
    return {
      add(bytes) {
        sum = crc32(bytes, sum);
        size = (size + bytes.length) % 2 ** 32;
      },
      finish: () => littleEndian([sum, size]),
    };
  },
};

/** RFC 1950 §2.2: Adler-32, big endian. */
const zlibTrailer: Trailer = {
  sizeBytes: 4,
  begin() {
    let sum = 1;
    return {
      add(bytes) {
        sum = adler32(bytes, sum);
      },
      finish: () => littleEndian([sum]).reverse(),
    };
  },
};

/** Bodies of gzip members, with their trailers; their heads stay as they are. */
export const gzipCodec: Codec = deflateCodec("gzip", gzipTrailer, gzipBodies);
/** Bodies of zlib streams, with their trailers. */
export const zlibCodec: Codec = deflateCodec("zlib", zlibTrailer, zlibBodies);

const EXTRA = 4;
const NAME = 8;
const COMMENT = 16;
const HEADER_CRC = 2;

/** RFC 1952 §2.3. */
function* gzipBodies(bytes: Uint8Array): Generator<number> {
  for (const start of placesOf(bytes, [0x1f, 0x8b, 8])) {
    const flags = bytes[start + 3] as number;
    if (flags === undefined || flags > 31) continue;
    let at = start + 10;
    if (flags & EXTRA) at += 2 + ((bytes[at] as number) | ((bytes[at + 1] as number) << 8));
    for (const flag of [NAME, COMMENT]) {
      if ((flags & flag) === 0) continue;
      const end = bytes.indexOf(0, at);
      at = end < 0 ? bytes.length : end + 1;
    }
    if (flags & HEADER_CRC) at += 2;
    if (at < bytes.length) yield at;
  }
}

/** The second byte for each of the four levels that zlib tells; RFC 1950 §2.2. */
const ZLIB_LEVELS = [0x01, 0x5e, 0x9c, 0xda] as const;

function* zlibBodies(bytes: Uint8Array): Generator<number> {
  for (const start of placesOf(bytes, [0x78])) {
    const level = bytes[start + 1] as number;
    if ((ZLIB_LEVELS as readonly number[]).includes(level)) yield start + 2;
  }
}

function deflateCodec(
  name: string,
  trailer: Trailer,
  candidates: (bytes: Uint8Array) => Iterable<number>,
): Codec {
  return {
    name,
    candidates,
    find: (bytes, at, maxBytes) => find(trailer, bytes, at, maxBytes),
    describe,
    unpack,
    pack: (settings, _contentBytes, content) => pack(trailer, settings, content),
    memoryToPack: (settings) => MEMORY_BYTES + 16 * settings.length,
  };
}

function find(
  trailer: Trailer,
  bytes: Uint8Array,
  at: number,
  maxBytes: number,
): FoundStream | undefined {
  let details: DeflateStream;
  try {
    details = inflateTokens(bytes, at, maxBytes);
  } catch (error) {
    if (error instanceof AppError && error.code === "delta-invalid") return undefined;
    throw error;
  }
  const sums = trailer.begin();
  sums.add(details.content);
  const end = at + details.packedBytes;
  const found = bytes.subarray(end, end + trailer.sizeBytes);
  if (Buffer.compare(sums.finish(), found) !== 0) return undefined;
  const packedBytes = details.packedBytes + trailer.sizeBytes;
  return { packedBytes, content: details.content, details };
}

const LAST_SEARCH = "deflate-search";

async function describe(
  packed: Uint8Array,
  { details }: FoundStream,
  experience: Experience,
): Promise<Uint8Array | undefined> {
  const stream = details as DeflateStream;
  if (stream.blocks.some(({ count }) => count > MAX_BLOCK_TOKENS)) return undefined;
  const last = experience.get(LAST_SEARCH) as SearchSettings | undefined;
  // Heads were counted from the beginning of the image.
  const plan = await planDeflate(packed, inflateTokens(packed, 0, stream.content.length), last);
  experience.set(LAST_SEARCH, plan.search);
  const writer = new ByteWriter();
  writePlan(writer, plan);
  const settings = writer.finish();
  const most = Math.max(SMALLEST_SETTINGS_BYTES, packed.length / MAX_SETTINGS_SHARE);
  return settings.length <= most ? settings : undefined;
}

function unpack(packed: Uint8Array, contentBytes: number): Uint8Array {
  let content: Uint8Array;
  try {
    content = inflateRawSync(packed, { maxOutputLength: Math.max(1, contentBytes) });
  } catch (error) {
    throw refusePatch("the source holds no such deflate stream", {}, error);
  }
  if (content.length !== contentBytes) throw refusePatch("the source holds no such deflate stream");
  return content;
}

async function* pack(
  trailer: Trailer,
  settings: Uint8Array,
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const reader = new ByteReader(settings);
  const plan = readPlan(reader);
  reader.expectEnd();
  const sums = trailer.begin();
  yield* rebuildDeflate(plan, content, sums.add);
  yield sums.finish();
}
