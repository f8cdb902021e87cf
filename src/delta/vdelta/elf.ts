import type { AddressMap } from "./address-map.ts";
import type { AddressSpace } from "./address-spaces.ts";
import type { Architecture } from "./architectures.ts";
import { MAX_MODULE_SPACES, MAX_SPACES } from "./header.ts";

/** Archives align their members to 512 bytes, file systems to more. */
const ALIGNMENT = 512;
const MAX_ENTRIES = 64;
const LOADED = 1;

type Segment = ElfImage["segments"][number];

export interface ElfImage {
  /** Where it begins in the image that holds it. */
  start: number;
  architecture: Architecture;
  segments: { start: number; length: number; address: number }[];
}

const MACHINES: Record<number, Architecture> = {
  3: "x86",
  40: "arm",
  62: "x86",
  94: "xtensa",
  183: "aarch64",
  243: "riscv",
};

/** Every little-endian ELF file in an image: alone, or in an archive or file system. */
export function findElfImages(image: Uint8Array): ElfImage[] {
  const found: ElfImage[] = [];
  for (let start = 0; start + 64 <= image.length; start += ALIGNMENT) {
    const elf = readElf(image, start);
    if (elf) found.push(elf);
  }
  return found;
}

/** System V ABI, ELF header and program headers; undefined where there is none that we can use. */
function readElf(image: Uint8Array, start: number): ElfImage | undefined {
  const view = new DataView(image.buffer, image.byteOffset + start, image.length - start);
  if (view.getUint32(0) !== 0x7f454c46 || view.getUint8(5) !== 1) return undefined;
  const is64 = view.getUint8(4) === 2;
  const architecture = MACHINES[view.getUint16(18, true)] ?? "none";
  const tableAt = view.getUint32(is64 ? 32 : 28, true);
  const entryBytes = view.getUint16(is64 ? 54 : 42, true);
  const count = view.getUint16(is64 ? 56 : 44, true);
  const smallest = is64 ? 56 : 32;
  if (entryBytes < smallest || count > MAX_ENTRIES) return undefined;
  if (tableAt + count * entryBytes > view.byteLength) return undefined;
  const segments: ElfImage["segments"] = [];
  for (let index = 0; index < count; index++) {
    const at = tableAt + index * entryBytes;
    if (view.getUint32(at, true) !== LOADED) continue;
    const offset = view.getUint32(at + (is64 ? 8 : 4), true);
    const length = view.getUint32(at + (is64 ? 32 : 16), true);
    if (offset + length > view.byteLength) return undefined;
    if (length === 0) continue;
    const address = view.getUint32(at + (is64 ? 16 : 8), true);
    segments.push({ start: start + offset, length, address });
  }
  segments.sort((a, b) => a.start - b.start);
  const isUsable = segments.length > 0 && segments.length <= MAX_MODULE_SPACES;
  return isUsable && !overlap(segments) ? { start, architecture, segments } : undefined;
}

function overlap(segments: ElfImage["segments"]): boolean {
  return segments.some((segment, index) => {
    const before = segments[index - 1];
    return before !== undefined && before.start + before.length > segment.start;
  });
}

/**
 * The address spaces of the ELF files that are in both images and differ, paired by where the
 * region map puts their beginnings. In the old image's order, none within another.
 */
export function elfSpaces(source: Uint8Array, target: Uint8Array, map: AddressMap): AddressSpace[] {
  const targets = new Map(findElfImages(target).map((elf) => [elf.start, elf]));
  const spaces: AddressSpace[] = [];
  let module = 0;
  let end = 0;
  for (const elf of findElfImages(source)) {
    const partner = targets.get(map.map(elf.start));
    if (!partner || partner.segments.length !== elf.segments.length) continue;
    const [first, last] = [elf.segments[0], elf.segments.at(-1)] as Segment[] as [Segment, Segment];
    if (first.start < end || spaces.length + elf.segments.length > MAX_SPACES) continue;
    if (isSame(source, elf, target, partner)) continue;
    end = last.start + last.length;
    module += 1;
    elf.segments.forEach((segment, index) => {
      const moved = partner.segments[index] as Segment;
      spaces.push({
        module,
        source: segment.start,
        length: segment.length,
        sourceAddress: segment.address,
        target: moved.start,
        targetAddress: moved.address,
      });
    });
  }
  return spaces;
}

function isSame(source: Uint8Array, a: ElfImage, target: Uint8Array, b: ElfImage): boolean {
  const end = Math.max(...a.segments.map((segment) => segment.start + segment.length)) - a.start;
  const left = source.subarray(a.start, a.start + end);
  const right = target.subarray(b.start, b.start + end);
  return Buffer.compare(left, right) === 0;
}
