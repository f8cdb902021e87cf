import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { signEfiProgram } from "./authenticode.ts";
import { initialRamdisk, type RamdiskOptions } from "./initial-ramdisk.ts";
import { invalidContent, missingPackage } from "./refusals.ts";
import type { BootSigner } from "./signed-data.ts";
import { type RootImage, rootImage } from "./slot-image.ts";
import { commandLine, unifiedKernel } from "./unified-kernel.ts";

const LOADERS = "/usr/lib/systemd/boot/efi";

export interface SystemOptions {
  name: string;
  version: string;
  securityCounter: number;
  kernel: Buffer;
  modules: string;
  extraModules: readonly string[];
  commandLine: string;
  db: BootSigner;
}

/** systemd-boot as its package has it, and the stub that a unified kernel image begins with. */
export function readLoader(folder = LOADERS): { loader: Buffer; stub: Buffer } {
  const read = (name: string) => {
    const file = path.join(folder, name);
    if (!fs.existsSync(file)) throw missingPackage(name, "systemd-boot-efi");
    return fs.readFileSync(file);
  };
  return { loader: read("systemd-bootx64.efi"), stub: read("linuxx64.efi.stub") };
}

/** The signed kernel of a slot. */
export function systemKernel(options: SystemOptions, stub: Buffer, root: RootImage | undefined) {
  const { verity } = root ?? {};
  const facts = {
    version: options.version,
    securityCounter: options.securityCounter,
    root: verity
      ? { hash: verity.rootHash, salt: verity.salt, dataBlocks: verity.dataBlocks }
      : null,
    role: "system" as const,
  };
  return signedKernel(options, stub, commandLine(facts, options.commandLine), {});
}

/** The signed program that strikes a slot out and puts the loader back. */
export function recoveryKernel(options: SystemOptions, stub: Buffer, loader: Buffer): Buffer {
  const { version, securityCounter } = options;
  const facts = { version, securityCounter, root: null, role: "recovery" as const };
  return signedKernel(options, stub, commandLine(facts, options.commandLine), { loader });
}

function signedKernel(
  options: SystemOptions,
  stub: Buffer,
  line: string,
  extra: Pick<RamdiskOptions, "loader">,
): Buffer {
  const { kernel, modules, extraModules, name, db } = options;
  const initrd = initialRamdisk({ modules, extraModules, ...extra });
  return signEfiProgram(unifiedKernel({ stub, kernel, initrd, commandLine: line, name }), db);
}

/** A root image from a squashfs file, or from a folder by mksquashfs, the same bytes each time. */
export function makeRootImage(source: string, target: string): RootImage {
  if (!fs.existsSync(source)) throw invalidContent(`${source} cannot be read`);
  if (fs.statSync(source).isFile()) return rootImage(source);
  const settings = ["-noappend", "-comp", "zstd", "-all-root", "-no-xattrs", "-quiet"];
  const times = ["-mkfs-time", "1577836800", "-all-time", "1577836800", "-no-progress"];
  const done = spawnSync("mksquashfs", [source, target, ...settings, ...times], {
    encoding: "utf8",
  });
  if (done.error) throw missingPackage("mksquashfs", "squashfs-tools");
  if (done.status !== 0) throw invalidContent(`mksquashfs: ${done.stderr.trim()}`);
  return rootImage(target);
}
