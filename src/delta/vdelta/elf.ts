import type { Architecture } from "./architectures.ts";
import { type Executable, overlap, type Segment } from "./executables.ts";
import { MAX_MODULE_SPACES } from "./header.ts";

/** Archives align their members to 512 bytes, file systems to more. */
const ALIGNMENT = 512;
const MAX_ENTRIES = 64;
const LOADED = 1;

const MACHINES: Record<number, Architecture> = {
  3: "x86",
  40: "arm",
  62: "x86",
  94: "xtensa",
  183: "aarch64",
  243: "riscv",
};

/** Every little-endian ELF file in an image: alone, or in an archive or file system. */
export function findElfImages(image: Uint8Array): Executable[] {
  const found: Executable[] = [];
  for (let start = 0; start + 64 <= image.length; start += ALIGNMENT) {
    const elf = readElf(image, start);
    if (elf) found.push(elf);
  }
  return found;
}

/** System V ABI, ELF header and program headers; undefined where there is none that we can use. */
function readElf(image: Uint8Array, start: number): Executable | undefined {
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
  const segments: Segment[] = [];
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
