import {
  constants,
  createZstdCompress,
  type ZstdOptions,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import { AppError } from "../../kernel/errors.ts";
import { refusePatch } from "../format.ts";
import { type FrameHeader, parseFrameHeader } from "../zstd-frame.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { type Codec, collect, type Experience, type FoundStream, placesOf } from "./codec.ts";

const { zstd: version } = process.versions;
/** As devices announce it and patches ask for it. */
const ZSTD_VERSION = `zstd-${version}`;
const MAGIC = [0x28, 0xb5, 0x2f, 0xfd] as const;
const CHECKSUM_BYTES = 4;
const MAX_BLOCK_BYTES = 128 * 1024;
/** What squashfs, kernels and the tool use, then the rest. */
const LEVELS = [15, 19, 22, 3, 9, 12, 6, 1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 18, 20, 21];
const LARGEST_FOR_ALL_LEVELS = 1024 * 1024;
const LIKELY_LEVELS = 5;
const MAX_LEVEL = 22;
/** At the highest levels zstd's tables take about 640 MB at most, and in proportion for less. */
const MEMORY_PER_BYTE = 12;
const MEMORY_BYTES = 4 * 1024 * 1024;
const WITH_CHECKSUM = 1;
const WITHOUT_SIZE = 2;

/** zstd frames. Other versions of the library pack otherwise, so a device must have the same. */
export const zstdCodec: Codec = {
  name: "zstd",
  candidates: (bytes) => placesOf(bytes, MAGIC),
  find,
  describe,
  unpack(packed, contentBytes) {
    const content = decompress(packed, contentBytes);
    if (content?.length !== contentBytes) throw refusePatch("the source holds no such zstd frame");
    return content;
  },
  async *pack(settings, contentBytes, content) {
    const options = readSettings(settings);
    yield await compress(await collect(content, contentBytes), options);
  },
  memoryToPack: (_settings, contentBytes) => MEMORY_BYTES + MEMORY_PER_BYTE * contentBytes,
  requires: ZSTD_VERSION,
};

function find(bytes: Uint8Array, at: number, maxBytes: number): FoundStream | undefined {
  const header = headerAt(bytes, at);
  if (!header || (header.contentBytes !== null && header.contentBytes > maxBytes)) return undefined;
  const end = endOfFrame(bytes, at, header);
  if (end === undefined) return undefined;
  const content = decompress(bytes.subarray(at, end), maxBytes);
  if (!content) return undefined;
  return { packedBytes: end - at, content, details: header };
}

function headerAt(bytes: Uint8Array, at: number): FrameHeader | undefined {
  try {
    return parseFrameHeader(bytes.subarray(at));
  } catch (error) {
    // A trained dictionary, or no frame at all.
    if (error instanceof AppError && error.code === "delta-invalid") return undefined;
    throw error;
  }
}

/** RFC 8878 §3.1.1.2: blocks tell their size and whether they are the last. */
function endOfFrame(bytes: Uint8Array, at: number, header: FrameHeader): number | undefined {
  let position = at + header.headerBytes;
  for (let isLast = false; !isLast; ) {
    if (position + 3 > bytes.length) return undefined;
    const word =
      (bytes[position] as number) |
      ((bytes[position + 1] as number) << 8) |
      ((bytes[position + 2] as number) << 16);
    isLast = (word & 1) === 1;
    const type = (word >> 1) & 3;
    const size = word >> 3;
    if (type === 3 || size > MAX_BLOCK_BYTES) return undefined;
    position += 3 + (type === 1 ? 1 : size);
  }
  const end = position + (header.checksum ? CHECKSUM_BYTES : 0);
  return end <= bytes.length ? end : undefined;
}

function decompress(packed: Uint8Array, maxBytes: number): Uint8Array | undefined {
  try {
    return zstdDecompressSync(packed, {
      maxOutputLength: Math.max(1, maxBytes),
      params: { [constants.ZSTD_d_windowLogMax]: 27 },
    });
  } catch {
    // No frame that this library reads; whatever the reason, it stays as it is.
    return undefined;
  }
}

interface Settings {
  level: number;
  flags: number;
}

const LAST_LEVEL = "zstd-level";

async function describe(
  packed: Uint8Array,
  { content, details }: FoundStream,
  experience: Experience,
): Promise<Uint8Array | undefined> {
  const header = details as FrameHeader;
  const flags =
    (header.checksum ? WITH_CHECKSUM : 0) | (header.contentBytes === null ? WITHOUT_SIZE : 0);
  const last = experience.get(LAST_LEVEL) as number | undefined;
  const all = content.length <= LARGEST_FOR_ALL_LEVELS ? LEVELS : LEVELS.slice(0, LIKELY_LEVELS);
  const levels = last === undefined ? all : [last, ...all.filter((level) => level !== last)];
  // When a level has proved right, frames of the same image that it does not make are of another
  // version of the library: trying all levels on each of them would take minutes.
  const tried = last === undefined ? levels : levels.slice(0, LIKELY_LEVELS);
  for (const level of tried) {
    const made = await compress(content, { level, flags });
    if (Buffer.compare(made, packed) !== 0) continue;
    experience.set(LAST_LEVEL, level);
    const writer = new ByteWriter();
    writer.varint(level);
    writer.byte(flags);
    return writer.finish();
  }
  return undefined;
}

function readSettings(settings: Uint8Array): Settings {
  const reader = new ByteReader(settings);
  const level = reader.varint(MAX_LEVEL);
  const flags = reader.byte();
  reader.expectEnd();
  if (flags > 3) throw refusePatch("a zstd frame was made in a way not known here");
  return { level, flags };
}

async function compress(content: Uint8Array, { level, flags }: Settings): Promise<Uint8Array> {
  const options: ZstdOptions = {
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: flags & WITH_CHECKSUM ? 1 : 0,
    },
  };
  if ((flags & WITHOUT_SIZE) === 0) return zstdCompressSync(content, options);
  // As from a pipe: the encoder learns only at the end how much there was.
  const encoder = createZstdCompress(options);
  const parts: Uint8Array[] = [];
  encoder.on("data", (part: Uint8Array) => parts.push(part));
  await new Promise<void>((resolve, reject) => {
    encoder.on("error", reject);
    encoder.on("end", resolve);
    encoder.write(content);
    encoder.end();
  });
  return new Uint8Array(Buffer.concat(parts));
}
