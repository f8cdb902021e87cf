import zlib from "node:zlib";

/**
 * One record of a journal: `magic, body length, CRC-32 of the body`, 4 bytes little-endian each, then
 * the body: `rows` in 4 bytes, the target's length in 2, the target, and a block in Native format.
 */
export interface JournalRecord {
  /** Table and columns as an INSERT names them: `telemetry (tenant_id, device_id)`. */
  target: string;
  rows: number;
  block: Buffer;
}

const MAGIC = 0x314a5456; // "VTJ1"
const HEADER_BYTES = 12;
const BODY_HEADER_BYTES = 6;
const TARGET = /^\w{1,64} \(\w{1,64}(, \w{1,64}){0,63}\)$/;
/** What one record may hold, so that a damaged length is not believed. */
export const MAX_RECORD_BYTES = 64 * 1024 ** 2;
/** With room for a record's heads, and no more than the engine's endpoint takes. */
export const MAX_BLOCK_BYTES = MAX_RECORD_BYTES - 64 * 1024;

/** The record as what is written, without a copy of its block. */
export function encodeRecord({ target, rows, block }: JournalRecord): [Buffer, Buffer] {
  const name = Buffer.from(target, "latin1");
  const head = Buffer.allocUnsafe(HEADER_BYTES + BODY_HEADER_BYTES + name.length);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt32LE(BODY_HEADER_BYTES + name.length + block.length, 4);
  head.writeUInt32LE(rows, HEADER_BYTES);
  head.writeUInt16LE(name.length, HEADER_BYTES + 4);
  name.copy(head, HEADER_BYTES + BODY_HEADER_BYTES);
  head.writeUInt32LE(zlib.crc32(block, zlib.crc32(head.subarray(HEADER_BYTES))), 8);
  return [head, block];
}

export interface ReadRecords {
  records: JournalRecord[];
  /** Bytes that belong to no whole record: a write that was cut off, or a damage. */
  damagedBytes: number;
}

/**
 * The whole records among `bytes`. What is damaged is skipped, up to the next record that is whole: a
 * bad sector costs what lay in it, and not what was acknowledged after it.
 */
export function readRecords(bytes: Buffer): ReadRecords {
  const records: JournalRecord[] = [];
  let damagedBytes = 0;
  let at = 0;
  while (at < bytes.length) {
    const record = recordAt(bytes, at);
    if (record) {
      records.push(record);
      at += HEADER_BYTES + BODY_HEADER_BYTES + record.target.length + record.block.length;
      continue;
    }
    const next = nextMagic(bytes, at + 1);
    damagedBytes += next - at;
    at = next;
  }
  return { records, damagedBytes };
}

function recordAt(bytes: Buffer, at: number): JournalRecord | undefined {
  if (at + HEADER_BYTES + BODY_HEADER_BYTES > bytes.length) return undefined;
  if (bytes.readUInt32LE(at) !== MAGIC) return undefined;
  const length = bytes.readUInt32LE(at + 4);
  const start = at + HEADER_BYTES;
  if (length > MAX_RECORD_BYTES || start + length > bytes.length) return undefined;
  const body = bytes.subarray(start, start + length);
  const nameLength = length < BODY_HEADER_BYTES ? length : body.readUInt16LE(4);
  if (BODY_HEADER_BYTES + nameLength > length) return undefined;
  if (zlib.crc32(body) !== bytes.readUInt32LE(at + 8)) return undefined;
  const target = body.toString("latin1", BODY_HEADER_BYTES, BODY_HEADER_BYTES + nameLength);
  // It becomes part of a statement.
  if (!TARGET.test(target)) return undefined;
  const block = body.subarray(BODY_HEADER_BYTES + nameLength);
  return { target, rows: body.readUInt32LE(0), block };
}

function nextMagic(bytes: Buffer, from: number): number {
  const pattern = Buffer.allocUnsafe(4);
  pattern.writeUInt32LE(MAGIC);
  const found = bytes.indexOf(pattern, from);
  return found < 0 ? bytes.length : found;
}
