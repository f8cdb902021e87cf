import { refusePatch } from "../format.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { ChunkReader } from "./chunk-reader.ts";
import { type Codec, type FoundStream, placesOf } from "./codec.ts";

/** The UF2 file format: blocks of 512 bytes, each with its address and its number. */
const BLOCK_BYTES = 512;
const HEAD_BYTES = 32;
const MAX_PAYLOAD_BYTES = 476;
const FIRST_MAGIC = 0x0a324655;
const SECOND_MAGIC = 0x9e5d5157;
const LAST_MAGIC = 0x0ab16f30;
const MAX_WORD = 2 ** 32 - 1;
const MAX_RUNS = 4096;
const MEMORY_BYTES = 64 * 1024;

/** Blocks that follow each other in all respects. */
interface Run {
  blocks: number;
  flags: number;
  address: number;
  payloadBytes: number;
  number: number;
  total: number;
  /** Of the board, or the size of the file. */
  family: number;
}

/** UF2 to what it puts into flash. */
export const uf2Codec: Codec = {
  name: "uf2",
  candidates: (bytes) => placesOf(bytes, [0x55, 0x46, 0x32, 0x0a, 0x57, 0x51, 0x5d, 0x9e]),
  find,
  describe: async (packed, { details }) => {
    const runs = details as Run[];
    const writer = new ByteWriter();
    writer.varint(runs.length);
    for (const run of runs) for (const value of fieldsOf(run)) writer.varint(value);
    const made = runs.flatMap((run) => [...headsOf(run)]);
    // Everything but the payload has to be what the runs say.
    const isMade = made.every((head, index) => isLike(packed, index * BLOCK_BYTES, head));
    return isMade ? writer.finish() : undefined;
  },
  unpack(packed, contentBytes) {
    const content = find(packed, 0, contentBytes)?.content;
    if (content?.length !== contentBytes) throw refusePatch("the source holds no such UF2");
    return content;
  },
  pack,
  memoryToPack: () => MEMORY_BYTES,
};

function find(bytes: Uint8Array, at: number, maxBytes: number): FoundStream | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const runs: Run[] = [];
  const payloads: Uint8Array[] = [];
  let contentBytes = 0;
  let position = at;
  for (; position + BLOCK_BYTES <= bytes.length; position += BLOCK_BYTES) {
    const block = blockAt(view, position);
    if (!block || contentBytes + block.payloadBytes > maxBytes) break;
    const run = runs.at(-1);
    if (run && follows(run, block)) run.blocks += 1;
    else if (runs.length === MAX_RUNS) break;
    else runs.push(block);
    const from = position + HEAD_BYTES;
    payloads.push(bytes.subarray(from, from + block.payloadBytes));
    contentBytes += block.payloadBytes;
  }
  if (runs.length === 0) return undefined;
  const content = new Uint8Array(Buffer.concat(payloads));
  return { packedBytes: position - at, content, details: runs };
}

function blockAt(view: DataView, at: number): Run | undefined {
  const word = (index: number) => view.getUint32(at + 4 * index, true);
  const isBlock =
    word(0) === FIRST_MAGIC &&
    word(1) === SECOND_MAGIC &&
    view.getUint32(at + BLOCK_BYTES - 4, true) === LAST_MAGIC;
  if (!isBlock || word(4) > MAX_PAYLOAD_BYTES) return undefined;
  return {
    blocks: 1,
    flags: word(2),
    address: word(3),
    payloadBytes: word(4),
    number: word(5),
    total: word(6),
    family: word(7),
  };
}

function follows(run: Run, block: Run): boolean {
  return (
    block.flags === run.flags &&
    block.payloadBytes === run.payloadBytes &&
    block.total === run.total &&
    block.family === run.family &&
    block.number === run.number + run.blocks &&
    block.address === (run.address + run.blocks * run.payloadBytes) % 2 ** 32
  );
}

function isLike(packed: Uint8Array, at: number, { head, payloadBytes }: BlockHead): boolean {
  const padding = packed.subarray(at + HEAD_BYTES + payloadBytes, at + BLOCK_BYTES - 4);
  return (
    Buffer.compare(packed.subarray(at, at + HEAD_BYTES), head) === 0 &&
    padding.every((byte) => byte === 0)
  );
}

interface BlockHead {
  head: Uint8Array;
  payloadBytes: number;
}

function* headsOf(run: Run): Generator<BlockHead> {
  const { flags, address, payloadBytes, number, total, family } = run;
  for (let index = 0; index < run.blocks; index++) {
    const head = new Uint8Array(HEAD_BYTES);
    const view = new DataView(head.buffer);
    const here = address + index * payloadBytes;
    const words = [
      FIRST_MAGIC,
      SECOND_MAGIC,
      flags,
      here,
      payloadBytes,
      number + index,
      total,
      family,
    ];
    for (const [place, word] of words.entries()) view.setUint32(4 * place, word >>> 0, true);
    yield { head, payloadBytes };
  }
}

function fieldsOf(run: Run): number[] {
  const { blocks, flags, address, payloadBytes, number, total, family } = run;
  return [blocks, flags, address, payloadBytes, number, total, family];
}

async function* pack(
  settings: Uint8Array,
  _contentBytes: number,
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const input = new ChunkReader(content);
  for (const run of readRuns(settings)) {
    for (const { head, payloadBytes } of headsOf(run)) {
      const block = new Uint8Array(BLOCK_BYTES);
      block.set(head);
      block.set(await input.take(payloadBytes), HEAD_BYTES);
      new DataView(block.buffer).setUint32(BLOCK_BYTES - 4, LAST_MAGIC, true);
      yield block;
    }
  }
}

function readRuns(settings: Uint8Array): Run[] {
  const reader = new ByteReader(settings);
  const runs: Run[] = [];
  for (let left = reader.varint(MAX_RUNS); left > 0; left--) {
    runs.push({
      blocks: reader.varint(MAX_WORD),
      flags: reader.varint(MAX_WORD),
      address: reader.varint(MAX_WORD),
      payloadBytes: reader.varint(MAX_PAYLOAD_BYTES),
      number: reader.varint(MAX_WORD),
      total: reader.varint(MAX_WORD),
      family: reader.varint(MAX_WORD),
    });
  }
  reader.expectEnd();
  return runs;
}
