import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { constants, zstdCompressSync } from "node:zlib";
import { CONSOLE, type CpioEntry, cpioArchive, FILE, PROGRAM, withDirectories } from "./cpio.ts";
import { collectModules } from "./kernel-modules.ts";
import { missingPackage } from "./refusals.ts";

/** What the initial RAM disk needs of the kernel, in the order in which it is asked for. */
export const NEEDED_MODULES = [
  "virtio_pci",
  "virtio_blk",
  "virtio_net",
  "nls_cp437",
  "nls_iso8859_1",
  "nls_ascii",
  "vfat",
  "efivarfs",
  "squashfs",
  "dm_verity",
  "ext4",
] as const;

const MAX_LIBRARIES = 50;
const COMPRESSION_LEVEL = 10;

export interface RamdiskOptions {
  /** `lib/modules/<version>` of the kernel. */
  modules: string;
  /** Besides those that are always needed: the drivers of the board's disk and network. */
  extraModules: readonly string[];
  /** Signed loader, for the recovery image to put back. */
  loader?: Buffer;
}

/** Programs, modules and the first script: everything between the kernel and the root image. */
export function initialRamdisk(options: RamdiskOptions): Buffer {
  const { modules } = collectModules(options.modules, [...NEEDED_MODULES, ...options.extraModules]);
  const order = modules.map(({ name }) => `${name}.ko\n`).join("");
  const entries: CpioEntry[] = [
    CONSOLE,
    file("init", fs.readFileSync(path.join(import.meta.dirname, "init.sh")), PROGRAM),
    file("bin/busybox", busybox(), PROGRAM),
    ...withoutRepetition([
      ...programWithLibraries("/sbin/dmsetup", "dmsetup"),
      // Linux guards a firmware variable that is there; busybox has none that could lift it.
      ...programWithLibraries("/usr/bin/chattr", "e2fsprogs"),
    ]),
    file("modules/order", Buffer.from(order)),
    ...modules.map(({ name, content }) => file(`modules/${name}.ko`, content)),
    ...(options.loader ? [file("loader.efi", options.loader)] : []),
  ];
  return zstdCompressSync(cpioArchive(withDirectories(entries)), {
    params: {
      [constants.ZSTD_c_compressionLevel]: COMPRESSION_LEVEL,
      // The kernel unpacks one frame with a window of at most 128 MiB.
      [constants.ZSTD_c_checksumFlag]: 0,
    },
  });
}

function file(name: string, content: Buffer, mode = FILE): CpioEntry {
  return { path: name, mode, content };
}

function withoutRepetition(entries: readonly CpioEntry[]): CpioEntry[] {
  return [...new Map(entries.map((entry) => [entry.path, entry])).values()];
}

function busybox(): Buffer {
  const found = ["/bin/busybox", "/usr/bin/busybox"].find((name) => fs.existsSync(name));
  if (!found) throw missingPackage("a static busybox", "busybox-static");
  const content = fs.readFileSync(found);
  // A program that needs an interpreter names it: /lib64/ld-linux...
  if (content.subarray(0, 4096).includes("ld-linux")) {
    throw missingPackage("a static busybox", "busybox-static");
  }
  return content;
}

/** A program and the shared libraries that `ldd` finds for it, where it looks for them. */
export function programWithLibraries(program: string, debianPackage: string): CpioEntry[] {
  if (!fs.existsSync(program)) throw missingPackage(path.basename(program), debianPackage);
  const { stdout } = spawnSync("ldd", [program], { encoding: "utf8" });
  const libraries = [...(stdout ?? "").matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(
    (match) => match[1] as string,
  );
  return [program, ...libraries.slice(0, MAX_LIBRARIES)].map((name) =>
    file(name.slice(1), fs.readFileSync(name), PROGRAM),
  );
}
