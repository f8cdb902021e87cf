import type { ScannedStream } from "./stream-tree.ts";

/** Files of a squashfs: where their blocks and their ends, which share a block, lie in the image. */
export interface HeldRange {
  /** Where the block begins that holds it, packed or not. */
  block: number;
  /** Within what the block unpacks to. */
  offset: number;
  /** Undefined: all of it. */
  length: number | undefined;
}

const MAGIC = 0x73717368;
const SUPERBLOCK_BYTES = 96;
const METADATA_BYTES = 8192;
const UNPACKED_BLOCK = 1 << 24;
const NO_FRAGMENT = 0xffffffff;
const FRAGMENT_BYTES = 16;
const MAX_INODES = 1_000_000;
const MAX_BLOCKS = 1_000_000;

/**
 * The files of the squashfs that begins at `start` (format 4.0, little endian), each with its ranges
 * in reading order. Undefined where it is none, or cannot be followed: its order is only a hint.
 */
export function squashfsFiles(
  image: Uint8Array,
  start: number,
  streams: readonly ScannedStream[],
): HeldRange[][] | undefined {
  const byOffset = new Map(streams.map((stream) => [stream.offset, stream]));
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  if (start + SUPERBLOCK_BYTES > image.length || view.getUint32(start, true) !== MAGIC) return;
  if (view.getUint16(start + 28, true) !== 4) return;
  const position = (at: number) => start + Number(view.getBigUint64(start + at, true));
  const superblock = {
    start,
    blockBytes: view.getUint32(start + 12, true),
    fragments: view.getUint32(start + 16, true),
    inodes: Math.min(view.getUint32(start + 4, true), MAX_INODES),
  };
  try {
    const meta = new MetadataReader(image, byOffset);
    const fragments = readFragments(meta, view, position(80), superblock);
    const table = meta.read(position(64), position(72));
    return [...files(table, superblock, fragments)];
  } catch (error) {
    // A table that cannot be followed, or numbers beyond its end.
    if (error instanceof RangeError) return;
    throw error;
  }
}

interface Superblock {
  start: number;
  blockBytes: number;
  fragments: number;
  inodes: number;
}

/** Blocks of metadata: a length, its top bit set where what follows is not packed. */
class MetadataReader {
  readonly #image: Uint8Array;
  readonly #byOffset: ReadonlyMap<number, ScannedStream>;

  constructor(image: Uint8Array, byOffset: ReadonlyMap<number, ScannedStream>) {
    this.#image = image;
    this.#byOffset = byOffset;
  }

  /** What the blocks from `from` to `to` unpack to. */
  read(from: number, to: number): DataView {
    const parts: Uint8Array[] = [];
    for (let at = from; at < to; ) {
      const [content, next] = this.#block(at);
      parts.push(content);
      at = next;
    }
    const whole = Buffer.concat(parts);
    return new DataView(whole.buffer, whole.byteOffset, whole.byteLength);
  }

  block(at: number): DataView {
    const [content] = this.#block(at);
    return new DataView(content.buffer, content.byteOffset, content.byteLength);
  }

  #block(at: number): [Uint8Array, number] {
    if (at + 2 > this.#image.length) throw new RangeError("no metadata there");
    const header = (this.#image[at] as number) | ((this.#image[at + 1] as number) << 8);
    const length = header & 0x7fff;
    const next = at + 2 + length;
    if (header & 0x8000) return [this.#image.subarray(at + 2, next), next];
    const stream = this.#byOffset.get(at + 2);
    if (stream?.packedBytes !== length) throw new RangeError("metadata that is not unpacked");
    return [stream.found.content, next];
  }
}

function readFragments(
  meta: MetadataReader,
  image: DataView,
  pointers: number,
  { start, fragments }: Superblock,
): number[] {
  const starts: number[] = [];
  const perBlock = METADATA_BYTES / FRAGMENT_BYTES;
  for (let index = 0; index * perBlock < fragments; index++) {
    const block = meta.block(start + Number(image.getBigUint64(pointers + 8 * index, true)));
    const count = Math.min(perBlock, fragments - index * perBlock);
    for (let entry = 0; entry < count; entry++) {
      starts.push(start + Number(block.getBigUint64(entry * FRAGMENT_BYTES, true)));
    }
  }
  return starts;
}

/** Bytes of an inode behind its common head, without what has a length of its own. */
const INODE_BYTES: Readonly<Record<number, number>> = {
  1: 16,
  3: 8,
  4: 8,
  5: 8,
  6: 4,
  7: 4,
  8: 24,
  10: 8,
  11: 12,
  12: 12,
  13: 8,
  14: 8,
};
const INODE_HEAD_BYTES = 16;

function* files(
  table: DataView,
  superblock: Superblock,
  fragments: readonly number[],
): Generator<HeldRange[]> {
  let at = 0;
  for (let count = 0; count < superblock.inodes && at < table.byteLength; count++) {
    const type = table.getUint16(at, true);
    const body = at + INODE_HEAD_BYTES;
    if (type === 2 || type === 9) {
      const file = readFile(table, body, type === 9, superblock);
      at = file.end;
      yield rangesOf(table, file, superblock, fragments);
      continue;
    }
    const length = INODE_BYTES[type];
    if (length === undefined) throw new RangeError("an inode of an unknown type");
    at = body + length;
    if (type === 3 || type === 10) {
      at += table.getUint32(body + 4, true) + (type === 10 ? 4 : 0);
    }
    if (type === 8) {
      for (let left = table.getUint16(body + 16, true); left > 0; left--) {
        at += 12 + table.getUint32(at + 8, true) + 1;
      }
    }
  }
}

interface FileInode {
  start: number;
  sizeBytes: number;
  fragment: number;
  fragmentOffset: number;
  blocks: number;
  list: number;
  end: number;
}

function readFile(
  table: DataView,
  body: number,
  isExtended: boolean,
  { start, blockBytes }: Superblock,
): FileInode {
  const fields = isExtended ? body + 28 : body + 4;
  const sizeBytes = isExtended
    ? Number(table.getBigUint64(body + 8, true))
    : table.getUint32(body + 12, true);
  const first = isExtended ? Number(table.getBigUint64(body, true)) : table.getUint32(body, true);
  const fragment = table.getUint32(fields, true);
  const whole = sizeBytes / blockBytes;
  const blocks = fragment === NO_FRAGMENT ? Math.ceil(whole) : Math.floor(whole);
  if (blocks > MAX_BLOCKS) throw new RangeError("a file of too many blocks");
  const list = body + (isExtended ? 40 : 16);
  return {
    start: start + first,
    sizeBytes,
    fragment,
    fragmentOffset: table.getUint32(fields + 4, true),
    blocks,
    list,
    end: list + 4 * blocks,
  };
}

function rangesOf(
  table: DataView,
  file: FileInode,
  { blockBytes }: Superblock,
  fragments: readonly number[],
): HeldRange[] {
  const ranges: HeldRange[] = [];
  let block = file.start;
  for (let index = 0; index < file.blocks; index++) {
    const size = table.getUint32(file.list + 4 * index, true);
    const stored = size & (UNPACKED_BLOCK - 1);
    // A block of zeros is not stored at all.
    if (stored === 0) continue;
    const length = size & UNPACKED_BLOCK ? stored : undefined;
    ranges.push({ block, offset: 0, length });
    block += stored;
  }
  const tail = file.fragment === NO_FRAGMENT ? undefined : fragments[file.fragment];
  const length = file.sizeBytes % blockBytes;
  if (tail !== undefined && length > 0) {
    ranges.push({ block: tail, offset: file.fragmentOffset, length });
  }
  return ranges;
}
