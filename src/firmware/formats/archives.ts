import type { ByteSource } from "./source.ts";

/** A file within an archive; nothing is ever written where its name says. */
export interface ArchiveEntry {
  name: string;
  sizeBytes: number;
  /** Where its content begins in the archive. */
  offset: number;
}

/** More entries than this are not looked at. */
const MAX_ENTRIES = 4_096;
const MAX_NAME = 1_024;

/** Entries of a tar archive (POSIX.1-2017 pax, ustar), up to the first that is none. */
export async function* tarEntries(source: ByteSource): AsyncGenerator<ArchiveEntry> {
  let offset = 0;
  for (let count = 0; count < MAX_ENTRIES && offset + 512 <= source.sizeBytes; count += 1) {
    const header = await source.read(offset, 512);
    if (!isTarHeader(header)) return;
    const sizeBytes = tarNumber(header.subarray(124, 136));
    if (!(sizeBytes >= 0) || offset + 512 + sizeBytes > source.sizeBytes) return;
    const prefix = text(header.subarray(345, 500));
    const name = text(header.subarray(0, 100));
    yield { name: prefix ? `${prefix}/${name}` : name, sizeBytes, offset: offset + 512 };
    offset += 512 + Math.ceil(sizeBytes / 512) * 512;
  }
}

/** The sum over the header with its own field as spaces; the magic alone proves nothing. */
export function isTarHeader(header: Buffer): boolean {
  if (header.length < 512 || header.toString("latin1", 257, 262) !== "ustar") return false;
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  return sum === tarNumber(header.subarray(148, 156));
}

/** Octal digits; GNU's binary form for large files is not needed for what is looked for. */
function tarNumber(field: Buffer): number {
  const digits = text(field).trim();
  return /^[0-7]{1,12}$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

/** Entries of a cpio archive in the `newc` or `crc` form, up to its trailer. */
export async function* cpioEntries(source: ByteSource): AsyncGenerator<ArchiveEntry> {
  let offset = 0;
  for (let count = 0; count < MAX_ENTRIES && offset + 110 <= source.sizeBytes; count += 1) {
    const header = (await source.read(offset, 110)).toString("latin1");
    if (!/^07070[12][0-9a-fA-F]{104}$/.test(header)) return;
    const field = (index: number) =>
      Number.parseInt(header.slice(6 + index * 8, 14 + index * 8), 16);
    const sizeBytes = field(6);
    const nameSize = field(11);
    if (nameSize < 1 || nameSize > MAX_NAME) return;
    const name = text(await source.read(offset + 110, nameSize));
    if (name === "TRAILER!!!") return;
    const content = align4(offset + 110 + nameSize);
    if (content + sizeBytes > source.sizeBytes) return;
    yield { name, sizeBytes, offset: content };
    offset = align4(content + sizeBytes);
  }
}

function align4(offset: number): number {
  return Math.ceil(offset / 4) * 4;
}

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}
