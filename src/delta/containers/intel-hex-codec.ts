import { refusePatch } from "../format.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { ChunkReader } from "./chunk-reader.ts";
import type { Codec, FoundStream } from "./codec.ts";

const COLON = 0x3a;
const MAX_RECORD_BYTES = 255;
const MAX_STEPS = 1_000_000;
const MAX_RECORDS = 2 ** 26;
const MEMORY_BYTES = 256 * 1024;
const OUTPUT_BYTES = 32 * 1024;
const LOWER_CASE = 1;
const CARRIAGE_RETURN = 2;
/** The last line has no end. */
const OPEN_END = 4;

/** Records of data that follow each other, all of one length; or one record of another kind. */
type Step =
  | { kind: "data"; records: number; length: number; address: number }
  | { kind: "other"; type: number; address: number; bytes: Uint8Array };

interface HexFile {
  flags: number;
  steps: Step[];
}

/** Intel HEX to the bytes of its data records, in their order. */
export const intelHexCodec: Codec = {
  name: "intel-hex",
  candidates: (bytes) => (bytes[0] === COLON ? [0] : []),
  find,
  describe: async (packed, { content, details }) => {
    const settings = encode(details as HexFile);
    // Lines may differ in their case or their ends.
    const parts: Uint8Array[] = [];
    for await (const part of pack(settings, content.length, once(content))) parts.push(part);
    return Buffer.compare(Buffer.concat(parts), packed) === 0 ? settings : undefined;
  },
  unpack(packed, contentBytes) {
    const content = find(packed, 0, contentBytes)?.content;
    if (content?.length !== contentBytes) throw refusePatch("the source holds no such Intel HEX");
    return content;
  },
  pack,
  memoryToPack: (settings) => MEMORY_BYTES + 32 * settings.length,
};

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function find(bytes: Uint8Array, at: number, maxBytes: number): FoundStream | undefined {
  const steps: Step[] = [];
  const parts: Uint8Array[] = [];
  let contentBytes = 0;
  let flags = 0;
  let position = at;
  while (bytes[position] === COLON && steps.length < MAX_STEPS) {
    const record = recordAt(bytes, position);
    if (!record || contentBytes + record.bytes.length > maxBytes) break;
    if (record.hasLowerCase) flags |= LOWER_CASE;
    if (record.ending === "\r\n") flags |= CARRIAGE_RETURN;
    if (record.ending === "") flags |= OPEN_END;
    position = record.end;
    if (record.type !== 0 || record.bytes.length === 0) {
      steps.push({ kind: "other", ...record });
      continue;
    }
    parts.push(record.bytes);
    contentBytes += record.bytes.length;
    addData(steps, record.address, record.bytes.length);
    if (record.ending === "") break;
  }
  if (contentBytes === 0) return undefined;
  const content = new Uint8Array(Buffer.concat(parts));
  return { packedBytes: position - at, content, details: { flags, steps } satisfies HexFile };
}

function addData(steps: Step[], address: number, length: number): void {
  const last = steps.at(-1);
  const next = last?.kind === "data" ? (last.address + last.records * last.length) & 0xffff : -1;
  if (last?.kind === "data" && last.length === length && next === address) last.records += 1;
  else steps.push({ kind: "data", records: 1, length, address });
}

function recordAt(bytes: Uint8Array, at: number) {
  const length = byteAt(bytes, at + 1);
  if (length === undefined) return undefined;
  const record = new Uint8Array(length + 5);
  let hasLowerCase = false;
  let sum = 0;
  for (let index = 0; index < record.length; index++) {
    const place = at + 1 + 2 * index;
    const byte = byteAt(bytes, place);
    if (byte === undefined) return undefined;
    if ((bytes[place] as number) >= 0x61 || (bytes[place + 1] as number) >= 0x61)
      hasLowerCase = true;
    record[index] = byte;
    sum += byte;
  }
  if ((sum & 0xff) !== 0) return undefined;
  const end = at + 1 + 2 * record.length;
  const ending = endingAt(bytes, end);
  if (ending === undefined) return undefined;
  return {
    type: record[3] as number,
    address: ((record[1] as number) << 8) | (record[2] as number),
    bytes: record.subarray(4, 4 + length),
    hasLowerCase,
    ending,
    end: end + ending.length,
  };
}

function endingAt(bytes: Uint8Array, at: number): string | undefined {
  if (at === bytes.length) return "";
  if (bytes[at] === 0x0a) return "\n";
  return bytes[at] === 0x0d && bytes[at + 1] === 0x0a ? "\r\n" : undefined;
}

function byteAt(bytes: Uint8Array, at: number): number | undefined {
  const high = digit(bytes[at]);
  const low = digit(bytes[at + 1]);
  return high === undefined || low === undefined ? undefined : (high << 4) | low;
}

function digit(code: number | undefined): number | undefined {
  if (code === undefined) return undefined;
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  if (code >= 0x41 && code <= 0x46) return code - 0x37;
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : undefined;
}

async function* pack(
  settings: Uint8Array,
  _contentBytes: number,
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const { flags, steps } = decode(settings);
  const input = new ChunkReader(content);
  const ending = flags & CARRIAGE_RETURN ? "\r\n" : "\n";
  let text = "";
  let isFirst = true;
  const put = (type: number, address: number, bytes: Uint8Array) => {
    if (!isFirst) text += ending;
    isFirst = false;
    text += recordText(type, address, bytes, (flags & LOWER_CASE) !== 0);
  };
  for (const step of steps) {
    if (step.kind === "other") put(step.type, step.address, step.bytes);
    else {
      for (let index = 0; index < step.records; index++) {
        const address = (step.address + index * step.length) & 0xffff;
        put(0, address, await input.take(step.length));
        if (text.length < OUTPUT_BYTES) continue;
        yield Buffer.from(text, "latin1");
        text = "";
      }
    }
  }
  if ((flags & OPEN_END) === 0) text += ending;
  yield Buffer.from(text, "latin1");
}

function recordText(
  type: number,
  address: number,
  bytes: Uint8Array,
  isLowerCase: boolean,
): string {
  const record = Buffer.from([bytes.length, address >> 8, address & 0xff, type, ...bytes, 0]);
  let sum = 0;
  for (const byte of record) sum += byte;
  record[record.length - 1] = -sum & 0xff;
  const digits = record.toString("hex");
  return `:${isLowerCase ? digits : digits.toUpperCase()}`;
}

function encode({ flags, steps }: HexFile): Uint8Array {
  const writer = new ByteWriter();
  writer.byte(flags);
  writer.varint(steps.length);
  for (const step of steps) {
    writer.varint(step.kind === "data" ? step.records : 0);
    if (step.kind === "data") writer.byte(step.length);
    else writer.byte(step.type);
    writer.varint(step.address);
    if (step.kind === "other") writer.counted(step.bytes);
  }
  return writer.finish();
}

function decode(settings: Uint8Array): HexFile {
  const reader = new ByteReader(settings);
  const flags = reader.byte();
  const steps: Step[] = [];
  for (let left = reader.varint(MAX_STEPS); left > 0; left--) {
    const records = reader.varint(MAX_RECORDS);
    const lengthOrType = reader.byte();
    const address = reader.varint(0xffff);
    if (records > 0) steps.push({ kind: "data", records, length: lengthOrType, address });
    else {
      const bytes = reader.counted(MAX_RECORD_BYTES).slice();
      steps.push({ kind: "other", type: lengthOrType, address, bytes });
    }
  }
  reader.expectEnd();
  return { flags, steps };
}
