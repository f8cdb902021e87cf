import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { refusePatch } from "../format.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { CODECS } from "./codecs.ts";
import { ALIGNED, type Cut, type Placement } from "./layout.ts";
import { MAX_STREAMS } from "./scan.ts";
import { allStreams, type StreamTree } from "./stream-tree.ts";

/** Where both images hold packed streams, and how those of the new one are packed again. */
export interface Recipe {
  source: ImageRecipe;
  target: ImageRecipe;
}

export interface ImageRecipe {
  streams: StreamTree[];
  /** The order of the unpacked form; empty: the natural one. */
  cuts: Cut[];
}

const MAX_SIZE = 2 ** 31 - 1;
const MAX_DEPTH = 8;
export const MAX_CUTS = 1_000_000;
export const MAX_RECIPE_BYTES = 64 * 1024 * 1024;
const WINDOW_LOG = 23;
const LEVEL = 19;
/** What a stream of a recipe takes when it has been read, without its settings. */
export const STREAM_MEMORY_BYTES = 256;

export function encodeRecipe({ source, target }: Recipe): Uint8Array {
  const writer = new ByteWriter();
  writer.varint([...allStreams(source.streams), ...allStreams(target.streams)].length);
  writeStreams(writer, source.streams, false);
  writeCuts(writer, source.cuts);
  writeStreams(writer, target.streams, true);
  writeCuts(writer, target.cuts);
  return writer.finish();
}

function writeCuts(writer: ByteWriter, cuts: readonly Cut[]): void {
  writer.varint(cuts.length);
  let expected = 0;
  for (const { natural, length, placement } of cuts) {
    writer.varint(zigzag(natural - expected));
    writer.varint(length * 4 + placement);
    expected = natural + length;
  }
}

function writeStreams(writer: ByteWriter, streams: readonly StreamTree[], isTarget: boolean): void {
  writer.varint(streams.length);
  let end = 0;
  for (const stream of streams) {
    writer.varint(stream.offset - end);
    writer.byte(stream.codec);
    writer.varint(stream.packedBytes);
    writer.varint(stream.contentBytes);
    if (isTarget) writer.counted(stream.settings);
    writeStreams(writer, stream.parts, isTarget);
    end = stream.offset + stream.packedBytes;
  }
}

/** Refuses what does not lie within images of these sizes. */
export function decodeRecipe(
  bytes: Uint8Array,
  sizes: { sourceSize: number; targetSize: number },
): Recipe {
  const reader = new ByteReader(bytes);
  const budget = { left: reader.varint(2 * MAX_STREAMS) };
  const source = {
    streams: readStreams(reader, sizes.sourceSize, budget, false, MAX_DEPTH),
    cuts: readCuts(reader),
  };
  const target = {
    streams: readStreams(reader, sizes.targetSize, budget, true, MAX_DEPTH),
    cuts: readCuts(reader),
  };
  reader.expectEnd();
  return { source, target };
}

function readCuts(reader: ByteReader): Cut[] {
  const cuts: Cut[] = [];
  let expected = 0;
  for (let count = reader.varint(MAX_CUTS); count > 0; count--) {
    const natural = expected + unzigzag(reader.varint(2 * MAX_SIZE));
    const word = reader.varint(4 * MAX_SIZE);
    const placement = word % 4;
    const length = Math.floor(word / 4);
    if (placement > ALIGNED || natural < 0 || length === 0) {
      throw refusePatch("the patch cuts outside of its image");
    }
    cuts.push({ natural, length, placement: placement as Placement });
    expected = natural + length;
  }
  return cuts;
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function unzigzag(value: number): number {
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}

function readStreams(
  reader: ByteReader,
  sizeBytes: number,
  budget: { left: number },
  isTarget: boolean,
  depth: number,
): StreamTree[] {
  const streams: StreamTree[] = [];
  const count = reader.varint(budget.left);
  if (count > 0 && depth === 0) throw refusePatch("the patch nests its streams too deeply");
  budget.left -= count;
  let end = 0;
  for (let index = 0; index < count; index++) {
    const offset = end + reader.varint(MAX_SIZE);
    const codec = reader.byte();
    const packedBytes = reader.varint(MAX_SIZE);
    const contentBytes = reader.varint(MAX_SIZE);
    if (!CODECS[codec]) throw refusePatch("the patch names a way to pack that is not known here");
    end = offset + packedBytes;
    if (packedBytes === 0 || end > sizeBytes) {
      throw refusePatch("the patch names a stream outside of its image");
    }
    const settings = isTarget ? reader.counted(MAX_RECIPE_BYTES) : new Uint8Array(0);
    const parts = readStreams(reader, contentBytes, budget, isTarget, depth - 1);
    streams.push({ codec, offset, packedBytes, contentBytes, settings, parts });
  }
  return streams;
}

export function packRecipe(bytes: Uint8Array): Uint8Array {
  return zstdCompressSync(bytes, {
    params: {
      [constants.ZSTD_c_compressionLevel]: LEVEL,
      [constants.ZSTD_c_contentSizeFlag]: 0,
      [constants.ZSTD_c_windowLog]: WINDOW_LOG,
    },
  });
}

export function unpackRecipe(packed: Uint8Array, sizeBytes: number): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = zstdDecompressSync(packed, {
      maxOutputLength: Math.max(1, sizeBytes),
      params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG },
    });
  } catch (error) {
    throw refusePatch("the patch is corrupt", {}, error);
  }
  if (bytes.length !== sizeBytes) throw refusePatch("the patch is corrupt");
  return bytes;
}
