import { crc32 } from "node:zlib";
import { invalidContent } from "./refusals.ts";

/** A file of the volume; folders follow from the paths. */
export interface FatFile {
  /** With `/`, without a leading one. */
  path: string;
  content: Buffer;
}

const SECTOR = 512;
const RESERVED_SECTORS = 32;
const FATS = 2;
const ENTRY = 32;
const END_OF_CHAIN = 0x0fffffff;
const ROOT_CLUSTER = 2;
/** Below it a volume counts as FAT16 (Microsoft FAT specification, "FAT type determination"). */
const MIN_CLUSTERS = 65_525;
const ATTRIBUTE = { directory: 0x10, archive: 0x20, longName: 0x0f, volume: 0x08 };
/** 1 January 1980: the earliest date, and the same in every image. */
const DATE = 0x0021;
const MAX_FILES = 1_000;

interface Node {
  name: string;
  content: Buffer | undefined;
  children: Map<string, Node>;
  cluster: number;
}

/**
 * A FAT32 volume with the given files, the form of an EFI system partition. Written here because a
 * reproducible one is wanted on machines without mtools. Long names are kept.
 */
export function fatVolume(options: {
  sizeBytes: number;
  label: string;
  files: readonly FatFile[];
}): Buffer {
  const sectors = options.sizeBytes / SECTOR;
  const sectorsPerCluster = 1;
  const fatSectors = Math.ceil((sectors - RESERVED_SECTORS) / (128 * sectorsPerCluster + FATS));
  const dataSector = RESERVED_SECTORS + FATS * fatSectors;
  const clusters = Math.floor((sectors - dataSector) / sectorsPerCluster);
  if (!Number.isInteger(sectors) || clusters < MIN_CLUSTERS) {
    throw invalidContent("a FAT32 volume has at least 34 MiB, in whole sectors");
  }
  const volume = Buffer.alloc(options.sizeBytes);
  const writer = new VolumeWriter(volume, { dataSector, clusters });
  const root = treeOf(options.files);
  writer.place(root, options.label);
  writer.writeFats(fatSectors);
  writeBootSectors(volume, { ...options, sectors, fatSectors, free: writer.freeClusters() });
  return volume;
}

class VolumeWriter {
  readonly #volume: Buffer;
  readonly #dataSector: number;
  readonly #clusters: number;
  #next = ROOT_CLUSTER;
  readonly #fat: number[] = [0x0ffffff8, END_OF_CHAIN];

  constructor(volume: Buffer, layout: { dataSector: number; clusters: number }) {
    this.#volume = volume;
    this.#dataSector = layout.dataSector;
    this.#clusters = layout.clusters;
  }

  freeClusters(): number {
    return this.#clusters + 2 - this.#next;
  }

  /** Gives every folder and file its clusters, parents first, then writes the folders' entries. */
  place(root: Node, label: string): void {
    this.#allocate(root, directoryBytes(root, true));
    this.#placeChildren(root);
    this.#writeDirectory(root, root, [volumeEntry(label)]);
  }

  #placeChildren(node: Node): void {
    for (const child of node.children.values()) {
      if (child.content) {
        this.#allocate(child, child.content.length);
        this.#write(child.cluster, child.content);
      } else {
        this.#allocate(child, directoryBytes(child, false));
        this.#placeChildren(child);
      }
    }
  }

  #writeDirectory(node: Node, parent: Node, first: Buffer[]): void {
    const taken = new Set<string>();
    const entries = [...node.children.values()].map((child) => entriesOf(child, taken));
    this.#write(node.cluster, Buffer.concat([...first, ...entries]));
    for (const child of node.children.values()) {
      if (child.content) continue;
      // The root is written as 0 in `..` (Microsoft FAT specification, "Directory creation").
      const above = parent === node ? 0 : node.cluster;
      this.#writeDirectory(child, node, [dotEntry(".", child.cluster), dotEntry("..", above)]);
    }
  }

  #allocate(node: Node, sizeBytes: number): void {
    const count = Math.ceil(sizeBytes / SECTOR);
    if (count === 0) return;
    if (this.freeClusters() < count) throw invalidContent("the files do not fit the volume");
    node.cluster = this.#next;
    for (let index = 1; index <= count; index += 1) {
      this.#fat.push(index === count ? END_OF_CHAIN : this.#next + index);
    }
    this.#next += count;
  }

  #write(cluster: number, content: Buffer): void {
    if (cluster === 0) return;
    content.copy(this.#volume, (this.#dataSector + cluster - ROOT_CLUSTER) * SECTOR);
  }

  writeFats(fatSectors: number): void {
    for (let copy = 0; copy < FATS; copy += 1) {
      const at = (RESERVED_SECTORS + copy * fatSectors) * SECTOR;
      this.#fat.forEach((value, index) => {
        this.#volume.writeUInt32LE(value, at + index * 4);
      });
    }
  }
}

function treeOf(files: readonly FatFile[]): Node {
  if (files.length > MAX_FILES) throw invalidContent(`a volume takes at most ${MAX_FILES} files`);
  const root = folder("");
  for (const { path, content } of files) {
    const levels = path.split("/");
    const name = levels.pop() as string;
    let node = root;
    for (const level of levels) {
      const next: Node = node.children.get(level) ?? folder(level);
      node.children.set(level, next);
      node = next;
    }
    node.children.set(name, { ...folder(name), content });
  }
  return root;
}

function folder(name: string): Node {
  return { name, content: undefined, children: new Map(), cluster: 0 };
}

function directoryBytes(node: Node, isRoot: boolean): number {
  const names = [...node.children.values()];
  const entries = names.reduce((sum, child) => sum + 1 + longNameCount(child.name), 0);
  // One more, of zeros, ends the folder.
  return (entries + (isRoot ? 1 : 2) + 1) * ENTRY;
}

const SHORT_NAME = /^[A-Z0-9_-]{1,8}(\.[A-Z0-9_-]{1,3})?$/;

function longNameCount(name: string): number {
  return SHORT_NAME.test(name) ? 0 : Math.ceil(name.length / 13);
}

function entriesOf(node: Node, taken: Set<string>): Buffer {
  const short = shortNameOf(node.name, taken);
  const entry = Buffer.alloc(ENTRY);
  entry.write(short, 0, 11, "latin1");
  entry[11] = node.content ? ATTRIBUTE.archive : ATTRIBUTE.directory;
  writePlace(entry, node.cluster);
  entry.writeUInt32LE(node.content?.length ?? 0, 28);
  return Buffer.concat([...longNameEntries(node.name, short), entry]);
}

function shortNameOf(name: string, taken: Set<string>): string {
  if (SHORT_NAME.test(name)) {
    const [base = "", extension = ""] = name.split(".");
    return base.padEnd(8) + extension.padEnd(3);
  }
  const clean = (text: string) => text.toUpperCase().replace(/[^A-Z0-9_-]/g, "");
  const dot = name.lastIndexOf(".");
  const base = clean(dot > 0 ? name.slice(0, dot) : name).slice(0, 6) || "X";
  const extension = clean(dot > 0 ? name.slice(dot + 1) : "").slice(0, 3);
  for (let number = 1; number < 10; number += 1) {
    const short = `${base}~${number}`.padEnd(8) + extension.padEnd(3);
    if (taken.has(short)) continue;
    taken.add(short);
    return short;
  }
  throw invalidContent(`too many file names like ${name}`);
}

function longNameEntries(name: string, short: string): Buffer[] {
  const count = longNameCount(name);
  const checksum = [...Buffer.from(short, "latin1")].reduce(
    (sum, byte) => (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff,
    0,
  );
  const units = Buffer.alloc(count * 26, 0xff);
  units.write(`${name}\0`.slice(0, count * 13), 0, "utf16le");
  return Array.from({ length: count }, (_, index) => {
    const order = count - index;
    const entry = Buffer.alloc(ENTRY);
    const part = units.subarray((order - 1) * 26, order * 26);
    entry[0] = order | (index === 0 ? 0x40 : 0);
    entry[11] = ATTRIBUTE.longName;
    entry[13] = checksum;
    part.copy(entry, 1, 0, 10);
    part.copy(entry, 14, 10, 22);
    part.copy(entry, 28, 22, 26);
    return entry;
  });
}

function dotEntry(name: "." | "..", cluster: number): Buffer {
  const entry = Buffer.alloc(ENTRY);
  entry.write(name.padEnd(11), 0, "latin1");
  entry[11] = ATTRIBUTE.directory;
  writePlace(entry, cluster);
  return entry;
}

function volumeEntry(label: string): Buffer {
  const entry = Buffer.alloc(ENTRY);
  entry.write(label.toUpperCase().slice(0, 11).padEnd(11), 0, "latin1");
  entry[11] = ATTRIBUTE.volume;
  entry.writeUInt16LE(DATE, 24);
  return entry;
}

function writePlace(entry: Buffer, cluster: number): void {
  for (const at of [16, 18, 24]) entry.writeUInt16LE(DATE, at);
  entry.writeUInt16LE(cluster >>> 16, 20);
  entry.writeUInt16LE(cluster & 0xffff, 26);
}

function writeBootSectors(
  volume: Buffer,
  facts: { label: string; sectors: number; fatSectors: number; free: number },
): void {
  const boot = Buffer.alloc(SECTOR);
  boot.set([0xeb, 0x58, 0x90]);
  boot.write("VAUTN   ", 3, "latin1");
  boot.writeUInt16LE(SECTOR, 11);
  boot[13] = 1;
  boot.writeUInt16LE(RESERVED_SECTORS, 14);
  boot[16] = FATS;
  boot[21] = 0xf8;
  boot.writeUInt16LE(63, 24);
  boot.writeUInt16LE(255, 26);
  boot.writeUInt32LE(facts.sectors, 32);
  boot.writeUInt32LE(facts.fatSectors, 36);
  boot.writeUInt32LE(ROOT_CLUSTER, 44);
  boot.writeUInt16LE(1, 48);
  boot.writeUInt16LE(6, 50);
  boot[64] = 0x80;
  boot[66] = 0x29;
  boot.writeUInt32LE(crc32(facts.label), 67);
  boot.write(facts.label.toUpperCase().slice(0, 11).padEnd(11), 71, "latin1");
  boot.write("FAT32   ", 82, "latin1");
  boot.writeUInt16LE(0xaa55, 510);
  const info = Buffer.alloc(SECTOR);
  info.writeUInt32LE(0x41615252, 0);
  info.writeUInt32LE(0x61417272, 484);
  info.writeUInt32LE(facts.free, 488);
  info.writeUInt32LE(0xffffffff, 492);
  info.writeUInt32LE(0xaa550000, 508);
  for (const first of [0, 6]) {
    boot.copy(volume, first * SECTOR);
    info.copy(volume, (first + 1) * SECTOR);
  }
}
