import { refusePatch } from "../format.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { CODECS } from "./codecs.ts";
import { MAX_RECIPE_BYTES } from "./recipe.ts";

const MAGIC = [0x56, 0x44, 0x4c, 0x55];
const VERSION = 1;
const MAX_SIZE = 2 ** 31 - 1;
const MAX_NAME_BYTES = 32;
/** Magic, version, checksum, at most eleven numbers, the name of what is required. */
export const MAX_UNPACKED_HEAD_BYTES = 4 + 1 + 4 + (11 + CODECS.length) * 5 + MAX_NAME_BYTES;

/** What stands before the recipe. */
export interface UnpackedHead {
  /** CRC-32 of the new image. */
  checksum: number;
  sourceSize: number;
  targetSize: number;
  /** Of the unpacked forms. */
  sourceFormSize: number;
  targetFormSize: number;
  /** Bytes that unpacking and packing hold at most, besides what the delta between the forms takes. */
  memoryBytes: number;
  /** How many streams of the new image each codec packs. */
  streams: number[];
  /** A library and its version that the device must have; empty: none. */
  requires: string;
  recipeBytes: number;
  packedRecipeBytes: number;
}

export function isUnpacked(patch: Uint8Array): boolean {
  return MAGIC.every((byte, index) => patch[index] === byte);
}

export function encodeHead(head: UnpackedHead): Uint8Array {
  const writer = new ByteWriter();
  writer.bytes(MAGIC);
  writer.byte(VERSION);
  for (let shift = 0; shift < 32; shift += 8) writer.byte((head.checksum >>> shift) & 0xff);
  writer.varint(head.sourceSize);
  writer.varint(head.targetSize);
  writer.varint(head.sourceFormSize);
  writer.varint(head.targetFormSize);
  writer.varint(head.memoryBytes);
  writer.varint(head.streams.length);
  for (const count of head.streams) writer.varint(count);
  writer.counted(Buffer.from(head.requires));
  writer.varint(head.recipeBytes);
  writer.varint(head.packedRecipeBytes);
  return writer.finish();
}

/** The head, and how many bytes it takes. */
export function decodeHead(bytes: Uint8Array): { head: UnpackedHead; headBytes: number } {
  if (!isUnpacked(bytes)) throw refusePatch("the patch does not begin like an unpacked vdelta");
  const reader = new ByteReader(bytes);
  reader.bytes(MAGIC.length);
  const version = reader.byte();
  if (version !== VERSION) throw refusePatch(`version ${version} is not known here`);
  let checksum = 0;
  for (let shift = 0; shift < 32; shift += 8) checksum |= reader.byte() << shift;
  const head = {
    checksum: checksum >>> 0,
    sourceSize: reader.varint(MAX_SIZE),
    targetSize: reader.varint(MAX_SIZE),
    sourceFormSize: reader.varint(MAX_SIZE),
    targetFormSize: reader.varint(MAX_SIZE),
    memoryBytes: reader.varint(MAX_SIZE),
    streams: Array.from({ length: reader.varint(CODECS.length) }, () => reader.varint(MAX_SIZE)),
    requires: Buffer.from(reader.counted(MAX_NAME_BYTES)).toString("latin1"),
    recipeBytes: reader.varint(MAX_RECIPE_BYTES),
    packedRecipeBytes: reader.varint(MAX_RECIPE_BYTES),
  };
  return { head, headBytes: reader.position };
}
