import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { slotImageHeader } from "../protocol/index.ts";
import { bootVariables } from "./boot-entry.ts";
import { type FatFile, fatVolume } from "./fat-volume.ts";
import {
  PARTITION_TYPE,
  type Partition,
  partitionTable,
  placePartitions,
  uuidOf,
} from "./partition-table.ts";
import { invalidContent, missingPackage } from "./refusals.ts";
import { copyInto, type RootImage, writeRoot } from "./slot-image.ts";
import type { StoredVariable } from "./variable-store.ts";

const MIB = 1024 * 1024;
const SMALLEST_FAT_BYTES = 36 * MIB;
/** The loader's own settings: no menu, no editor, nothing that it would find by itself. */
const LOADER_SETTINGS = "timeout 0\neditor no\nauto-entries no\nauto-firmware no\nbeep no\n";

export interface DiskOptions {
  out: string;
  /** Partition ids follow from it. */
  name: string;
  /** All signed. */
  loader: Buffer;
  kernel: Buffer;
  recovery: Buffer;
  root: RootImage | undefined;
  /** Space for each root slot; at least what the root image needs. */
  rootBytes: number;
  dataBytes: number;
  /** Folder that the data partition begins with. */
  data?: string | undefined;
  /** Further files of the system partition. */
  systemFiles?: readonly FatFile[];
  onProgress?: (step: string, share: number) => void;
}

export interface DiskImage {
  partitions: Partition[];
  sizeBytes: number;
  /** The firmware's boot list for this disk: the loader, then the recovery image. */
  bootVariables: StoredVariable[];
}

/** A whole disk: system partition with the loader and slot A, recovery, two root slots, data. */
export function buildDisk(options: DiskOptions): DiskImage {
  const { out, name, kernel, recovery, root } = options;
  const say = options.onProgress ?? (() => {});
  const rootBytes = Math.max(options.rootBytes, root?.sizeBytes ?? 0, MIB);
  // Room for both slots and for one that is just being written.
  const systemBytes = Math.max(SMALLEST_FAT_BYTES, wholeMib(3 * kernel.length + 8 * MIB));
  const recoveryBytes = Math.max(SMALLEST_FAT_BYTES, wholeMib(recovery.length + 4 * MIB));
  const { partitions, diskBytes } = placePartitions(name, [
    { name: "vautn-esp", type: PARTITION_TYPE.efiSystem, sizeBytes: systemBytes },
    { name: "vautn-recovery", type: PARTITION_TYPE.efiSystem, sizeBytes: recoveryBytes },
    { name: "vautn-root-a", type: PARTITION_TYPE.linuxData, sizeBytes: rootBytes },
    { name: "vautn-root-b", type: PARTITION_TYPE.linuxData, sizeBytes: rootBytes },
    { name: "vautn-data", type: PARTITION_TYPE.linuxData, sizeBytes: options.dataBytes },
  ]);
  const at = (partition: string) => findPartition(partitions, partition).firstByte;
  const handle = fs.openSync(out, "w");
  try {
    fs.ftruncateSync(handle, diskBytes);
    const table = partitionTable(name, diskBytes, partitions);
    writeAt(handle, table.head, 0);
    writeAt(handle, table.tail, table.tailByte);
    say("system partition", 0.1);
    writeAt(handle, systemPartition(options, systemBytes), at("vautn-esp"));
    say("recovery", 0.3);
    const files = [{ path: "EFI/BOOT/BOOTX64.EFI", content: recovery }];
    const volume = fatVolume({ sizeBytes: recoveryBytes, label: "VAUTNRECOV", files });
    writeAt(handle, volume, at("vautn-recovery"));
    say("root image", 0.5);
    if (root) writeRoot(handle, root, at("vautn-root-a"));
    say("data partition", 0.8);
    copyDataPartition(handle, options, at("vautn-data"));
  } finally {
    fs.closeSync(handle);
  }
  say("done", 1);
  return { partitions, sizeBytes: diskBytes, bootVariables: bootListOf(partitions) };
}

function systemPartition(options: DiskOptions, sizeBytes: number): Buffer {
  const layout = {
    kernelBytes: options.kernel.length,
    rootBytes: options.root?.sizeBytes ?? 0,
  };
  return fatVolume({
    sizeBytes,
    label: "VAUTNESP",
    files: [
      { path: "EFI/BOOT/BOOTX64.EFI", content: options.loader },
      { path: "EFI/Linux/vautn-0001-a.efi", content: options.kernel },
      { path: "loader/loader.conf", content: Buffer.from(LOADER_SETTINGS) },
      { path: "vautn/slot-a.head", content: slotImageHeader(layout) },
      ...(options.systemFiles ?? []),
    ],
  });
}

function bootListOf(partitions: readonly Partition[]): StoredVariable[] {
  const entryOf = (description: string, name: string) => ({
    description,
    partition: findPartition(partitions, name),
    number: partitions.findIndex((one) => one.name === name) + 1,
    path: "/EFI/BOOT/BOOTX64.EFI",
  });
  return bootVariables(
    [entryOf("Vautn", "vautn-esp"), entryOf("Vautn recovery", "vautn-recovery")],
    new Date(Date.UTC(2020, 0, 1)),
  );
}

function findPartition(partitions: readonly Partition[], name: string): Partition {
  const found = partitions.find((partition) => partition.name === name);
  if (!found) throw new Error(`no partition ${name}`);
  return found;
}

/** Not on every person's search path. */
const MKFS = ["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"];
const FIXED_TIME = "E2FSPROGS_FAKE_TIME=1577836800";

/** ext4 by mke2fs, with everything fixed that would differ from run to run. */
function copyDataPartition(handle: number, options: DiskOptions, at: number): void {
  const file = `${options.out}.data`;
  const id = uuidOf(options.name, "vautn-data", "filesystem");
  try {
    fs.writeFileSync(file, "");
    fs.truncateSync(file, options.dataBytes);
    const settings = ["-q", "-F", "-U", id, "-E", `hash_seed=${id},lazy_itable_init=1`];
    const content = options.data ? ["-d", options.data] : [];
    const program = MKFS.find((name) => fs.existsSync(name));
    if (!program) throw missingPackage("mkfs.ext4", "e2fsprogs");
    const made = spawnSync(
      "/usr/bin/env",
      [FIXED_TIME, program, ...settings, "-L", "vautn-data", ...content, file],
      { encoding: "utf8" },
    );
    if (made.status !== 0) throw invalidContent(`mkfs.ext4: ${made.stderr?.trim() ?? ""}`);
    copyInto(handle, file, at);
  } finally {
    fs.rmSync(file, { force: true });
  }
}

function writeAt(handle: number, bytes: Buffer, position: number): void {
  for (let written = 0; written < bytes.length; ) {
    written += fs.writeSync(handle, bytes, written, bytes.length - written, position + written);
  }
}

function wholeMib(sizeBytes: number): number {
  return Math.ceil(sizeBytes / MIB) * MIB;
}
