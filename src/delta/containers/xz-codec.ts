import { refusePatch } from "../format.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { crc32Bytes, xzCheck } from "./checksums.ts";
import { type Codec, collect, type Experience, type FoundStream, placesOf } from "./codec.ts";
import { propertiesByte, propertiesOf } from "./lzma/layout.ts";
import { encodeLzma2, type LzmaOptions, lzmaEncoderMemory } from "./lzma/lzma2-encoder.ts";
import { filterChain } from "./xz-filters.ts";
import { findXz, XZ_MAGIC, type XzBlock, type XzStream } from "./xz-reader.ts";

/** Ways of searching that liblzma's presets 4 to 9 choose from, the likeliest first; with -e last. */
const SEARCHES = [
  { nice: 64, depth: 0 },
  { nice: 273, depth: 512 },
  { nice: 32, depth: 0 },
  { nice: 16, depth: 0 },
  { nice: 192, depth: 0 },
  { nice: 273, depth: 0 },
] as const;
const LIKELIEST = "xz-search";
const MAX_BLOCKS = 4096;
const MAX_FILTER_BYTES = 64;
const MAX_SETTINGS = { content: 2 ** 31, header: 1024, nice: 273, depth: 1024 };

interface BlockSettings {
  contentBytes: number;
  headerBytes: number;
  hasSizes: number;
  filters: Uint8Array;
}

interface Settings {
  check: number;
  nice: number;
  depth: number;
  properties: number;
  blocks: BlockSettings[];
}

/** Streams in the .xz format, of blocks of LZMA2 behind at most one branch filter. */
export const xzCodec: Codec = {
  name: "xz",
  candidates: (bytes) => placesOf(bytes, XZ_MAGIC),
  find: (bytes, at, maxBytes) => findXz(bytes, at, maxBytes),
  describe,
  unpack(packed, contentBytes) {
    const found = findXz(packed, 0, contentBytes);
    if (found?.content.length !== contentBytes) throw refusePatch("the source holds no such xz");
    return found.content;
  },
  pack,
  memoryToPack(settings) {
    const { blocks } = decodeSettings(settings);
    return Math.max(
      ...blocks.map(({ contentBytes, filters }) => {
        const dictionaryBytes = Math.min(filterChain(filters).dictionaryBytes, contentBytes);
        return 2 * contentBytes + lzmaEncoderMemory(contentBytes, dictionaryBytes);
      }),
      0,
    );
  },
};

async function describe(
  packed: Uint8Array,
  { details }: FoundStream,
  experience: Experience,
): Promise<Uint8Array | undefined> {
  const stream = details as XzStream;
  if (stream.blocks.length > MAX_BLOCKS) return undefined;
  const tried = [...SEARCHES];
  const first = experience.get(LIKELIEST) as (typeof SEARCHES)[number] | undefined;
  if (first) tried.unshift(...tried.splice(tried.indexOf(first), 1));
  const properties = stream.blocks.map(({ properties }) => properties).find(Boolean);
  for (const search of tried) {
    const settings: Settings = {
      check: stream.check,
      ...search,
      properties: properties === undefined ? 0x5d : propertiesByte(properties),
      blocks: stream.blocks.map(blockSettings),
    };
    if (!isMadeBy(stream, packed, settings)) continue;
    experience.set(LIKELIEST, search);
    return encodeSettings(settings);
  }
  return undefined;
}

function blockSettings({ content, headerBytes, hasSizes, filters }: XzBlock): BlockSettings {
  return { contentBytes: content.length, headerBytes, hasSizes, filters };
}

/** Ends at the first byte that differs, so that wrong settings cost little. */
function isMadeBy(stream: XzStream, packed: Uint8Array, settings: Settings): boolean {
  let position = 0;
  const contents = stream.blocks.map(({ content }) => content);
  for (const chunk of packXz(settings, contents)) {
    if (position + chunk.length > packed.length) return false;
    if (Buffer.compare(chunk, packed.subarray(position, position + chunk.length)) !== 0)
      return false;
    position += chunk.length;
  }
  return position === packed.length;
}

async function* pack(
  bytes: Uint8Array,
  contentBytes: number,
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const settings = decodeSettings(bytes);
  const sizes = settings.blocks.reduce((sum, block) => sum + block.contentBytes, 0);
  if (sizes !== contentBytes) throw refusePatch("the blocks of an xz stream make another size");
  const whole = await collect(content, contentBytes);
  let from = 0;
  const contents = settings.blocks.map((block) => {
    from += block.contentBytes;
    return whole.subarray(from - block.contentBytes, from);
  });
  yield* packXz(settings, contents);
}

function* packXz(settings: Settings, contents: readonly Uint8Array[]): Generator<Uint8Array> {
  const flags = Uint8Array.of(0, settings.check);
  yield Uint8Array.from([...XZ_MAGIC, ...flags, ...crc32Bytes(flags)]);
  const index = new ByteWriter();
  index.byte(0);
  index.varint(settings.blocks.length);
  for (const [number, block] of settings.blocks.entries()) {
    const content = contents[number] as Uint8Array;
    const packedBytes = yield* packBlock(settings, block, content);
    const check = xzCheck(settings.check, content) as Uint8Array;
    yield new Uint8Array(-packedBytes & 3);
    yield check;
    index.varint(block.headerBytes + packedBytes + check.length);
    index.varint(content.length);
  }
  let body = index.finish();
  body = Uint8Array.from([...body, ...new Uint8Array(-body.length & 3)]);
  yield body;
  yield crc32Bytes(body);
  const back = new DataView(new ArrayBuffer(6));
  back.setUint32(0, (body.length + 4) / 4 - 1, true);
  back.setUint8(5, settings.check);
  const footer = new Uint8Array(back.buffer);
  yield crc32Bytes(footer);
  yield footer;
  yield Uint8Array.of(0x59, 0x5a);
}

/** The header tells the packed size, so where it does, the block is packed before it is yielded. */
function* packBlock(
  settings: Settings,
  block: BlockSettings,
  content: Uint8Array,
): Generator<Uint8Array, number> {
  const { filter, dictionaryBytes } = filterChain(block.filters);
  const properties = propertiesOf(settings.properties);
  if (!properties) throw refusePatch("an xz stream has properties that are not allowed");
  let plain = content;
  if (filter) {
    plain = content.slice();
    filter(plain, true);
  }
  const options: LzmaOptions = { ...properties, ...settings, dictionaryBytes };
  if (block.hasSizes === 0) {
    yield blockHeader(block, 0, content.length);
    let packedBytes = 0;
    for (const chunk of encodeLzma2(plain, options)) {
      packedBytes += chunk.length;
      yield chunk;
    }
    return packedBytes;
  }
  const chunks = [...encodeLzma2(plain, options)];
  const packedBytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  yield blockHeader(block, packedBytes, content.length);
  yield* chunks;
  return packedBytes;
}

/** The .xz File Format 1.2.1 §3.1. */
function blockHeader(block: BlockSettings, packedBytes: number, contentBytes: number): Uint8Array {
  const writer = new ByteWriter();
  writer.byte(block.headerBytes / 4 - 1);
  writer.byte((block.hasSizes << 6) | (filterChain(block.filters).filter ? 1 : 0));
  if (block.hasSizes & 1) writer.varint(packedBytes);
  if (block.hasSizes & 2) writer.varint(contentBytes);
  writer.bytes(block.filters);
  const fields = writer.finish();
  if (fields.length > block.headerBytes - 4) throw refusePatch("an xz header is too small");
  const body = new Uint8Array(block.headerBytes - 4);
  body.set(fields);
  return Uint8Array.from([...body, ...crc32Bytes(body)]);
}

function encodeSettings(settings: Settings): Uint8Array {
  const writer = new ByteWriter();
  writer.byte(settings.check);
  writer.varint(settings.nice);
  writer.varint(settings.depth);
  writer.byte(settings.properties);
  writer.varint(settings.blocks.length);
  for (const block of settings.blocks) {
    writer.varint(block.contentBytes);
    writer.varint(block.headerBytes);
    writer.byte(block.hasSizes);
    writer.counted(block.filters);
  }
  return writer.finish();
}

function decodeSettings(bytes: Uint8Array): Settings {
  const reader = new ByteReader(bytes);
  const check = reader.byte();
  if (!xzCheck(check, new Uint8Array(0))) throw refusePatch("an xz check is not known here");
  const nice = reader.varint(MAX_SETTINGS.nice);
  const depth = reader.varint(MAX_SETTINGS.depth);
  const properties = reader.byte();
  if (nice < 4 || !propertiesOf(properties)) throw refusePatch("an xz stream has wrong settings");
  const blocks: BlockSettings[] = [];
  for (let count = reader.varint(MAX_BLOCKS); count > 0; count--) {
    const contentBytes = reader.varint(MAX_SETTINGS.content);
    const headerBytes = reader.varint(MAX_SETTINGS.header);
    const hasSizes = reader.byte();
    const filters = reader.counted(MAX_FILTER_BYTES);
    filterChain(filters);
    const isWrong = headerBytes % 4 !== 0 || headerBytes < 8 || hasSizes > 3;
    if (isWrong) throw refusePatch("an xz block has wrong settings");
    blocks.push({ contentBytes, headerBytes, hasSizes, filters });
  }
  reader.expectEnd();
  return { check, nice, depth, properties, blocks };
}
