import type { WireColumn } from "./tables.ts";

type Row = Record<string, unknown>;

/**
 * Rows as one block of ClickHouse's Native format: column after column, so that numbers travel as
 * typed arrays and repeated strings as a dictionary.
 */
export function encodeNativeBlock(columns: readonly WireColumn[], rows: readonly object[]): Buffer {
  const writer = new NativeWriter(256 + rows.length * columns.length * 8);
  writer.varint(columns.length);
  writer.varint(rows.length);
  for (const { name, key, type } of columns) {
    writer.string(name);
    writer.string(type);
    encodeColumn(writer, type, key, rows as readonly Row[]);
  }
  return writer.bytes();
}

/**
 * Rows as few blocks as their bytes allow, each of at most `maxBytes`; a single row is one whatever it
 * takes. How many rows a block has does not say how large it is: texts are as long as who sends them wants.
 */
export function encodeNativeBlocks(
  columns: readonly WireColumn[],
  rows: readonly object[],
  maxBytes: number,
): { rows: number; block: Buffer }[] {
  const block = encodeNativeBlock(columns, rows);
  if (block.length <= maxBytes || rows.length < 2) return [{ rows: rows.length, block }];
  const middle = Math.ceil(rows.length / 2);
  return [rows.slice(0, middle), rows.slice(middle)].flatMap((half) =>
    encodeNativeBlocks(columns, half, maxBytes),
  );
}

function encodeColumn(
  writer: NativeWriter,
  type: WireColumn["type"],
  key: string,
  rows: readonly Row[],
): void {
  switch (type) {
    case "String":
      for (const row of rows) writer.string(row[key] as string);
      return;
    case "LowCardinality(String)":
      encodeDictionary(writer, key, rows);
      return;
    case "UInt8":
      writer.raw(Uint8Array.from(rows, (row) => row[key] as number));
      return;
    case "Float64": {
      const values = new Float64Array(rows.length);
      for (let index = 0; index < rows.length; index += 1) {
        values[index] = (rows[index] as Row)[key] as number;
      }
      writer.raw(values);
      return;
    }
    default:
      // UInt64, Int64, and DateTime64 as its whole ticks since the epoch.
      writer.raw(wholeNumbers(key, rows));
  }
}

/** 64-bit little-endian integers without BigInt: two halves. Values are safe. */
function wholeNumbers(key: string, rows: readonly Row[]): Uint32Array {
  const halves = new Uint32Array(rows.length * 2);
  for (let index = 0; index < rows.length; index += 1) {
    wholeNumber(halves, index, (rows[index] as Row)[key] as number);
  }
  return halves;
}

/** Puts one such number in its place. */
export function wholeNumber(halves: Uint32Array, index: number, value: number): void {
  halves[index * 2] = value;
  halves[index * 2 + 1] = Math.floor(value / 2 ** 32);
}

const DICTIONARY_VERSION = 1;
/** Additional keys follow, and the dictionary is to be renewed. */
const DICTIONARY_FLAGS = 0x600;

function encodeDictionary(writer: NativeWriter, key: string, rows: readonly Row[]): void {
  const positions = new Map<string, number>();
  const indexes = new Uint32Array(rows.length);
  let last: unknown;
  let lastPosition = 0;
  for (let index = 0; index < rows.length; index += 1) {
    const value = (rows[index] as Row)[key] as string;
    if (value !== last) {
      last = value;
      let position = positions.get(value);
      if (position === undefined) {
        position = positions.size;
        positions.set(value, position);
      }
      lastPosition = position;
    }
    indexes[index] = lastPosition;
  }
  writer.dictionary(positions.keys(), positions.size, indexes);
}

/** A buffer that grows. */
export class NativeWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest & 0x7f) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[this.#length++] = rest;
  }

  uint64(value: number): void {
    this.#reserve(8);
    this.#buffer.writeUInt32LE(value >>> 0, this.#length);
    this.#buffer.writeUInt32LE(Math.floor(value / 2 ** 32), this.#length + 4);
    this.#length += 8;
  }

  string(value: string): void {
    const size = Buffer.byteLength(value);
    this.varint(size);
    this.#reserve(size);
    this.#length += this.#buffer.write(value, this.#length, "utf8");
  }

  /** A column of type LowCardinality(String): its texts, and the place of each row's among them. */
  dictionary(texts: Iterable<string>, count: number, indexes: Uint32Array): void {
    this.uint64(DICTIONARY_VERSION);
    const [width, narrow] =
      count <= 2 ** 8
        ? [0, new Uint8Array(indexes)]
        : count <= 2 ** 16
          ? [1, new Uint16Array(indexes)]
          : [2, indexes];
    this.uint64(DICTIONARY_FLAGS | width);
    this.uint64(count);
    for (const text of texts) this.string(text);
    this.uint64(indexes.length);
    this.raw(narrow);
  }

  raw(values: Uint8Array | Uint16Array | Uint32Array | Float64Array): void {
    this.#reserve(values.byteLength);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + size));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
