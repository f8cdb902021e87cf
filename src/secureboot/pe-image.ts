import { createHash } from "node:crypto";
import { invalidContent } from "./refusals.ts";

/** What is needed of a PE/COFF image (Microsoft PE format, the form of UEFI programs). */
export interface PeLayout {
  coffOffset: number;
  optionalOffset: number;
  /** Of the section table. */
  sectionsOffset: number;
  sections: PeSection[];
  sectionAlignment: number;
  fileAlignment: number;
  sizeOfHeaders: number;
  /** Of the directory entry that names the attribute certificates. */
  certificateEntryOffset: number;
  certificateTable: { offset: number; sizeBytes: number };
}

export interface PeSection {
  name: string;
  virtualSize: number;
  virtualAddress: number;
  rawSize: number;
  rawOffset: number;
}

const SECTION_HEADER_BYTES = 40;
const MAX_SECTIONS = 96;
const CERTIFICATE_DIRECTORY = 4;
const PE32_PLUS = 0x20b;

/** Reads the headers; `invalid-content` where it is no 64-bit PE image or its numbers lie. */
export function readPe(bytes: Buffer): PeLayout {
  try {
    return layoutOf(bytes);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw invalidContent("the EFI program ends in the middle of its headers", cause);
  }
}

function layoutOf(bytes: Buffer): PeLayout {
  if (bytes.toString("latin1", 0, 2) !== "MZ") throw invalidContent("this is no EFI program");
  const signature = bytes.readUInt32LE(0x3c);
  if (bytes.readUInt32LE(signature) !== 0x4550) throw invalidContent("this is no EFI program");
  const coffOffset = signature + 4;
  const count = bytes.readUInt16LE(coffOffset + 2);
  const optionalOffset = coffOffset + 20;
  if (bytes.readUInt16LE(optionalOffset) !== PE32_PLUS) {
    throw invalidContent("only 64-bit EFI programs (PE32+) are supported");
  }
  if (count > MAX_SECTIONS) throw invalidContent(`an EFI program of ${count} sections`);
  const sectionsOffset = optionalOffset + bytes.readUInt16LE(coffOffset + 16);
  const certificateEntryOffset = optionalOffset + 112 + CERTIFICATE_DIRECTORY * 8;
  if (bytes.readUInt32LE(optionalOffset + 108) <= CERTIFICATE_DIRECTORY) {
    throw invalidContent("the EFI program has no place for a signature");
  }
  const sections = Array.from({ length: count }, (_, index) =>
    readSection(bytes, sectionsOffset + index * SECTION_HEADER_BYTES),
  );
  const certificateTable = {
    offset: bytes.readUInt32LE(certificateEntryOffset),
    sizeBytes: bytes.readUInt32LE(certificateEntryOffset + 4),
  };
  if (certificateTable.offset + certificateTable.sizeBytes > bytes.length) {
    throw invalidContent("the signatures of the EFI program lie outside it");
  }
  return {
    coffOffset,
    optionalOffset,
    sectionsOffset,
    sections,
    sectionAlignment: bytes.readUInt32LE(optionalOffset + 32),
    fileAlignment: bytes.readUInt32LE(optionalOffset + 36),
    sizeOfHeaders: bytes.readUInt32LE(optionalOffset + 60),
    certificateEntryOffset,
    certificateTable,
  };
}

function readSection(bytes: Buffer, at: number): PeSection {
  const section = {
    name: bytes.toString("latin1", at, at + 8).replace(/\0+$/, ""),
    virtualSize: bytes.readUInt32LE(at + 8),
    virtualAddress: bytes.readUInt32LE(at + 12),
    rawSize: bytes.readUInt32LE(at + 16),
    rawOffset: bytes.readUInt32LE(at + 20),
  };
  if (section.rawOffset + section.rawSize > bytes.length) {
    throw invalidContent(`section ${section.name} of the EFI program lies outside it`);
  }
  return section;
}

/** The content of a section, or undefined where there is none of that name. */
export function sectionContent(bytes: Buffer, name: string): Buffer | undefined {
  const section = readPe(bytes).sections.find((one) => one.name === name);
  if (!section) return undefined;
  const size = Math.min(section.rawSize, section.virtualSize || section.rawSize);
  return bytes.subarray(section.rawOffset, section.rawOffset + size);
}

/** Readable, initialised data. */
const DATA_SECTION = 0x40000040;
/** Sections of a unified kernel image begin at whole pages, so that a stub may map them. */
const PAGE = 4096;

/** Appends sections, as `objcopy --add-section` does; the image must not be signed yet. */
export function appendSections(
  image: Buffer,
  added: readonly { name: string; content: Buffer }[],
): Buffer {
  const pe = readPe(image);
  if (pe.certificateTable.sizeBytes > 0) {
    throw invalidContent("the EFI program is signed: its signature would no longer hold");
  }
  const headersEnd = pe.sectionsOffset + (pe.sections.length + added.length) * SECTION_HEADER_BYTES;
  const firstRaw = Math.min(...pe.sections.map(({ rawOffset }) => rawOffset || Infinity));
  if (headersEnd > Math.min(pe.sizeOfHeaders, firstRaw)) {
    throw invalidContent("the stub's headers have no room for another section");
  }
  // A symbol table behind the sections would be a gap that the signature does not cover.
  const head = Buffer.from(
    image.subarray(0, Math.max(...pe.sections.map((one) => one.rawOffset + one.rawSize))),
  );
  head.fill(0, pe.coffOffset + 8, pe.coffOffset + 16);
  const parts: Buffer[] = [head];
  let fileSize = head.length;
  let address = Math.max(...pe.sections.map((one) => one.virtualAddress + one.virtualSize));
  added.forEach(({ name, content }, index) => {
    const gap = align(fileSize, pe.fileAlignment) - fileSize;
    const rawSize = align(content.length, pe.fileAlignment);
    address = align(address, PAGE);
    const at = pe.sectionsOffset + (pe.sections.length + index) * SECTION_HEADER_BYTES;
    head.fill(0, at, at + SECTION_HEADER_BYTES);
    head.write(name, at, 8, "latin1");
    head.writeUInt32LE(content.length, at + 8);
    head.writeUInt32LE(address, at + 12);
    head.writeUInt32LE(rawSize, at + 16);
    head.writeUInt32LE(fileSize + gap, at + 20);
    head.writeUInt32LE(DATA_SECTION, at + 36);
    parts.push(Buffer.alloc(gap), content, Buffer.alloc(rawSize - content.length));
    fileSize += gap + rawSize;
    address += content.length;
  });
  head.writeUInt16LE(pe.sections.length + added.length, pe.coffOffset + 2);
  head.writeUInt32LE(align(address, Math.max(pe.sectionAlignment, PAGE)), pe.optionalOffset + 56);
  return Buffer.concat(parts);
}

/**
 * The hash that Secure Boot compares ("Windows Authenticode Portable Executable Signature Format",
 * "Calculating the PE Image Hash"): all but the checksum, the entry of the certificate table and
 * that table. Sections count in the order of their place in the file.
 */
export function authenticodeHash(image: Buffer): Buffer {
  const pe = readPe(image);
  const hash = createHash("sha256");
  const checksum = pe.optionalOffset + 64;
  hash.update(image.subarray(0, checksum));
  hash.update(image.subarray(checksum + 4, pe.certificateEntryOffset));
  hash.update(image.subarray(pe.certificateEntryOffset + 8, pe.sizeOfHeaders));
  const filled = pe.sections.filter(({ rawSize }) => rawSize > 0);
  let hashed = pe.sizeOfHeaders;
  for (const { rawOffset, rawSize } of filled.sort((a, b) => a.rawOffset - b.rawOffset)) {
    hash.update(image.subarray(rawOffset, rawOffset + rawSize));
    hashed += rawSize;
  }
  const end = image.length - pe.certificateTable.sizeBytes;
  if (end > hashed) hash.update(image.subarray(hashed, end));
  return hash.digest();
}

export function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
