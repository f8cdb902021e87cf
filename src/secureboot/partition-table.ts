import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { guid } from "./efi-guid.ts";
import { invalidContent } from "./refusals.ts";

export const SECTOR = 512;
const ENTRY_BYTES = 128;
const ENTRIES = 128;
/** Partitions begin at whole mebibytes: fits every flash. */
export const ALIGNMENT = 1024 * 1024;
const TABLE_SECTORS = (ENTRIES * ENTRY_BYTES) / SECTOR;

export const PARTITION_TYPE = {
  efiSystem: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
  linuxData: "0fc63daf-8483-4772-8e79-3d69d8477de4",
} as const;

export interface Partition {
  name: string;
  type: string;
  id: string;
  firstByte: number;
  sizeBytes: number;
}

/** Places partitions one after the other, each with an id that follows from disk and name. */
export function placePartitions(
  diskName: string,
  wanted: readonly { name: string; type: string; sizeBytes: number }[],
): { partitions: Partition[]; diskBytes: number } {
  let at = ALIGNMENT;
  const partitions = wanted.map(({ name, type, sizeBytes }) => {
    const rounded = Math.ceil(sizeBytes / ALIGNMENT) * ALIGNMENT;
    const placed = { name, type, id: uuidOf(diskName, name), firstByte: at, sizeBytes: rounded };
    at += rounded;
    return placed;
  });
  return { partitions, diskBytes: at + ALIGNMENT };
}

/** A GUID partition table with its protective MBR and the copy at the end (UEFI 2.10 §5.3). */
export function partitionTable(
  diskName: string,
  diskBytes: number,
  partitions: readonly Partition[],
): { head: Buffer; tail: Buffer; tailByte: number } {
  if (partitions.length > ENTRIES) throw invalidContent("too many partitions");
  const sectors = diskBytes / SECTOR;
  const table = Buffer.alloc(ENTRIES * ENTRY_BYTES);
  partitions.forEach((partition, index) => {
    entryOf(partition).copy(table, index * ENTRY_BYTES);
  });
  const headerOf = (own: number, other: number, tableAt: number) => {
    const header = Buffer.alloc(SECTOR);
    header.write("EFI PART", 0, "latin1");
    header.writeUInt32LE(0x00010000, 8);
    header.writeUInt32LE(92, 12);
    header.writeBigUInt64LE(BigInt(own), 24);
    header.writeBigUInt64LE(BigInt(other), 32);
    header.writeBigUInt64LE(BigInt(2 + TABLE_SECTORS), 40);
    header.writeBigUInt64LE(BigInt(sectors - 2 - TABLE_SECTORS), 48);
    guid(uuidOf(diskName, "disk")).copy(header, 56);
    header.writeBigUInt64LE(BigInt(tableAt), 72);
    header.writeUInt32LE(ENTRIES, 80);
    header.writeUInt32LE(ENTRY_BYTES, 84);
    header.writeUInt32LE(crc32(table), 88);
    header.writeUInt32LE(crc32(header.subarray(0, 92)), 16);
    return header;
  };
  return {
    head: Buffer.concat([protectiveMbr(sectors), headerOf(1, sectors - 1, 2), table]),
    tail: Buffer.concat([table, headerOf(sectors - 1, 1, sectors - 1 - TABLE_SECTORS)]),
    tailByte: diskBytes - SECTOR - table.length,
  };
}

function entryOf(partition: Partition): Buffer {
  const entry = Buffer.alloc(ENTRY_BYTES);
  guid(partition.type).copy(entry, 0);
  guid(partition.id).copy(entry, 16);
  const first = partition.firstByte / SECTOR;
  entry.writeBigUInt64LE(BigInt(first), 32);
  entry.writeBigUInt64LE(BigInt(first + partition.sizeBytes / SECTOR - 1), 40);
  entry.write(partition.name.slice(0, 36), 56, "utf16le");
  return entry;
}

function protectiveMbr(sectors: number): Buffer {
  const mbr = Buffer.alloc(SECTOR);
  mbr[446 + 2] = 0x02;
  mbr[446 + 4] = 0xee;
  mbr.fill(0xff, 446 + 5, 446 + 8);
  mbr.writeUInt32LE(1, 446 + 8);
  mbr.writeUInt32LE(Math.min(sectors - 1, 0xffffffff), 446 + 12);
  mbr.writeUInt16LE(0xaa55, 510);
  return mbr;
}

/** A UUID (version 8, RFC 9562 §5.8) that follows from names: images are the same for the same input. */
export function uuidOf(...names: readonly string[]): string {
  const hash = createHash("sha256").update(names.join("\0")).digest();
  hash[6] = ((hash[6] as number) & 0x0f) | 0x80;
  hash[8] = ((hash[8] as number) & 0x3f) | 0x80;
  const hex = hash.toString("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20, 32),
  ].join("-");
}
