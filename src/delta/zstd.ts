import { pipeline } from "node:stream";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import {
  type ApplyInput,
  type CreateInput,
  type PatchFormat,
  type PatchSource,
  refusePatch,
} from "./format.ts";
import { type FrameHeader, singleFrame } from "./zstd-frame.ts";

/** Decoders should manage 8 MB (RFC 8878 §3.1.1.1.2); small devices cannot be asked for more. */
const FULL_WINDOW_LOG = 23;
const MIN_WINDOW_LOG = 10;
const MAX_WINDOW_LOG = 31;
/** Up to here the optimal parser's minutes are worth their bytes. */
const THOROUGH_BYTES = 80 * 1024 * 1024;
/** Of a source too large for a tree. */
const POSITIONS_PER_ENTRY = 2.5;
/** The decoder's blocks, tables and input, generously. */
const DECODER_BYTES = 1024 * 1024;
const SOURCE_READ_BYTES = 256 * 1024;
/** Content that begins so would be taken for a trained dictionary instead of raw bytes. */
const DICTIONARY_MAGIC = [0x37, 0xa4, 0x30, 0xec];

/** The image, compressed by itself. */
export const fullZstd: PatchFormat = {
  needsSource: false,
  create: (input) =>
    compress(input, undefined, {
      [constants.ZSTD_c_compressionLevel]: input.targetSizeBytes > THOROUGH_BYTES ? 15 : 19,
      [constants.ZSTD_c_windowLog]: Math.min(log2Ceiling(input.targetSizeBytes), FULL_WINDOW_LOG),
    }),
  apply: (input) => decompress(input, undefined),
  memoryToApply: ({ targetSizeBytes }) =>
    DECODER_BYTES + Math.min(targetSizeBytes, 2 ** FULL_WINDOW_LOG),
};

/**
 * The image compressed with the old one as raw dictionary: what `zstd --patch-from` makes and
 * `zstd -d --patch-from` reads. Node's zlib takes the dictionary only as a whole and zstd keeps a
 * copy of it, so that applying holds the old image twice and a window as large as the new one.
 * (The stock tool asks for `--long=31` where the new image is above 128 MB and the larger one.)
 */
export const zstdPatch: PatchFormat = {
  needsSource: true,
  create(input) {
    const source = input.source as Uint8Array;
    if (DICTIONARY_MAGIC.every((byte, index) => source[index] === byte)) {
      throw refusePatch("the source begins like a zstd dictionary");
    }
    return compress(input, source, patchParameters(source.length, input.targetSizeBytes));
  },
  async *apply(input) {
    const source = input.source as PatchSource;
    const needed = sourceMemory(source.sizeBytes);
    if (needed > input.maxMemoryBytes) throw refuseMemory(needed, input.maxMemoryBytes);
    yield* decompress(input, await readWhole(source));
  },
  memoryToApply: ({ sourceSizeBytes, targetSizeBytes }) =>
    DECODER_BYTES + sourceMemory(sourceSizeBytes) + targetSizeBytes,
};

/**
 * Both images must lie within the window, and the match finder's tables must have room for every
 * position of the source: with the defaults of a level zstd forgets most of a big source and says
 * nothing (a 100 MB image that had only been rearranged: 49 MB instead of 20 KB). Up to
 * THOROUGH_BYTES a binary tree of two entries a position; above, level 12's rows of the hash table,
 * which zstd holds twice: an entry for every position would take 20 bytes a byte of an 80 MB image for
 * one percent, half as many entries as now would cost 40 percent.
 */
function patchParameters(sourceBytes: number, targetBytes: number): Record<number, number> {
  const windowLog = log2Ceiling(sourceBytes + targetBytes);
  const thorough = sourceBytes + targetBytes <= THOROUGH_BYTES;
  return {
    [constants.ZSTD_c_windowLog]: windowLog,
    [constants.ZSTD_c_compressionLevel]: thorough ? 19 : 12,
    [constants.ZSTD_c_hashLog]: thorough
      ? Math.min(windowLog, 24)
      : log2Ceiling(sourceBytes / POSITIONS_PER_ENTRY),
    [constants.ZSTD_c_chainLog]: thorough ? Math.min(windowLog + 1, 27) : MIN_WINDOW_LOG,
  };
}

function log2Ceiling(bytes: number): number {
  const exponent = Math.ceil(Math.log2(Math.max(bytes, 1)));
  return Math.min(Math.max(exponent, MIN_WINDOW_LOG), MAX_WINDOW_LOG);
}

async function* compress(
  input: CreateInput,
  dictionary: Uint8Array | undefined,
  params: Record<number, number>,
): AsyncGenerator<Uint8Array> {
  const encoder = createZstdCompress({
    // The content size in the header lets the other side refuse a bomb before it unpacks it.
    pledgedSrcSize: input.targetSizeBytes,
    params: { ...params, [constants.ZSTD_c_checksumFlag]: 1 },
    ...(dictionary ? { dictionary } : {}),
  });
  yield* pipeline(input.target, encoder, ignoreError);
}

async function* decompress(
  input: ApplyInput,
  dictionary: Uint8Array | undefined,
): AsyncGenerator<Uint8Array> {
  const { expectedSizeBytes, maxMemoryBytes } = input;
  const onHeader = (header: FrameHeader) => {
    if (header.contentBytes !== expectedSizeBytes) {
      throw refusePatch("the patch does not hold the image's size", {
        claimedBytes: header.contentBytes,
        expectedSizeBytes,
      });
    }
    const needed = DECODER_BYTES + header.windowBytes + sourceMemory(dictionary?.length ?? 0);
    if (needed > maxMemoryBytes) throw refuseMemory(needed, maxMemoryBytes);
  };
  const decoder = createZstdDecompress({
    // The header has been judged by the caller's bound before a byte of it gets here.
    params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG },
    ...(dictionary ? { dictionary } : {}),
  });
  try {
    yield* pipeline(singleFrame(input.patch, onHeader), decoder, ignoreError);
  } catch (error) {
    const code = String((error as { code?: unknown } | null)?.code);
    if (!code.startsWith("ZSTD_error")) throw error;
    throw refusePatch("the patch is corrupt", { code }, error);
  }
}

async function readWhole(source: PatchSource): Promise<Uint8Array> {
  const whole = new Uint8Array(source.sizeBytes);
  for (let offset = 0; offset < whole.length; ) {
    const length = Math.min(SOURCE_READ_BYTES, whole.length - offset);
    const chunk = await source.read(offset, length);
    if (chunk.length === 0 || chunk.length > length) throw refusePatch("the source is cut short");
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

function sourceMemory(sourceSizeBytes: number): number {
  return 2 * sourceSizeBytes;
}

function refuseMemory(neededBytes: number, maxMemoryBytes: number) {
  return refusePatch(`the patch needs ${neededBytes} bytes of memory`, {
    neededBytes,
    maxMemoryBytes,
  });
}

/** The iteration over the pipeline's last stream reports the error; nothing is left to do here. */
function ignoreError(): void {}
