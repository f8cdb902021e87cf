import fs from "node:fs";
import { crc32, deflateRawSync } from "node:zlib";

/** APPNOTE.TXT 6.3.10: general purpose bit 11, names are UTF-8. */
const UTF8_NAMES = 1 << 11;
const DEFLATE = 8;
const VERSION = 20;
const ZIP64_VERSION = 45;
const MADE_BY_UNIX = 3 << 8;
const MAX_SHORT = 0xffff;
const MAX_SIZE = 0xffff_fffe;

interface Entry {
  header: Buffer;
}

/**
 * Writes a ZIP archive file by file: small texts, each with its Unix mode. Many entries (more than
 * 65,535) are written as ZIP64; more than 4 GiB is refused.
 */
export class ZipWriter {
  readonly #fd: number;
  readonly #entries: Entry[] = [];
  readonly #time: number;
  readonly #date: number;
  #offset = 0;

  constructor(file: string, now: Date) {
    this.#fd = fs.openSync(file, "w", 0o600);
    this.#time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
    this.#date = ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate();
  }

  add(name: string, content: string, mode: number): void {
    const data = Buffer.from(content);
    const packed = deflateRawSync(data);
    const nameBytes = Buffer.from(name);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(VERSION, 0);
    common.writeUInt16LE(UTF8_NAMES, 2);
    common.writeUInt16LE(DEFLATE, 4);
    common.writeUInt16LE(this.#time, 6);
    common.writeUInt16LE(this.#date, 8);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(nameBytes.length, 22);
    const offset = this.#offset;
    this.#write(Buffer.from("504b0304", "hex"), common, nameBytes, packed);
    if (this.#offset > MAX_SIZE) throw new Error("the archive would be larger than 4 GiB");
    const central = Buffer.alloc(46);
    Buffer.from("504b0102", "hex").copy(central);
    central.writeUInt16LE(MADE_BY_UNIX | VERSION, 4);
    common.copy(central, 6);
    central.writeUInt32LE(((0o100000 | mode) << 16) >>> 0, 38);
    central.writeUInt32LE(offset, 42);
    this.#entries.push({ header: Buffer.concat([central, nameBytes]) });
  }

  /** Writes the directory; the archive is on the disk when this returns. */
  finish(): void {
    const start = this.#offset;
    for (const { header } of this.#entries) this.#write(header);
    const size = this.#offset - start;
    const count = this.#entries.length;
    if (count > MAX_SHORT) this.#writeZip64(count, size, start);
    const end = Buffer.alloc(22);
    Buffer.from("504b0506", "hex").copy(end);
    end.writeUInt16LE(Math.min(count, MAX_SHORT), 8);
    end.writeUInt16LE(Math.min(count, MAX_SHORT), 10);
    end.writeUInt32LE(size, 12);
    end.writeUInt32LE(start, 16);
    this.#write(end);
    fs.fsyncSync(this.#fd);
    fs.closeSync(this.#fd);
  }

  #writeZip64(count: number, size: number, start: number): void {
    const at = this.#offset;
    const record = Buffer.alloc(56);
    Buffer.from("504b0606", "hex").copy(record);
    record.writeBigUInt64LE(44n, 4);
    record.writeUInt16LE(MADE_BY_UNIX | ZIP64_VERSION, 12);
    record.writeUInt16LE(ZIP64_VERSION, 14);
    record.writeBigUInt64LE(BigInt(count), 24);
    record.writeBigUInt64LE(BigInt(count), 32);
    record.writeBigUInt64LE(BigInt(size), 40);
    record.writeBigUInt64LE(BigInt(start), 48);
    const locator = Buffer.alloc(20);
    Buffer.from("504b0607", "hex").copy(locator);
    locator.writeBigUInt64LE(BigInt(at), 8);
    locator.writeUInt32LE(1, 16);
    this.#write(record, locator);
  }

  #write(...parts: Buffer[]): void {
    const bytes = Buffer.concat(parts);
    fs.writeSync(this.#fd, bytes);
    this.#offset += bytes.length;
  }
}
