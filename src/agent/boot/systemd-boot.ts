import { open, readdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import type { Bootloader, SlotName } from "../ports.ts";
import type { BootBackEnd } from "./boot-back-end.ts";
import { EFI_NAMESPACE, EfiVariables } from "./efi-variables.ts";
import {
  abandonedSlot,
  entryName,
  entryOf,
  nextGeneration,
  slotOfEntryName,
} from "./systemd-boot-entries.ts";
import {
  ENTRIES_FOLDER,
  stagedKernel,
  syncFolder,
  systemdBootSlots,
} from "./systemd-boot-slots.ts";
import { uefiChain } from "./uefi-chain.ts";
import { resetCause } from "./watchdog.ts";

export interface SystemdBootOptions {
  systemPartition: string;
  capacityBytes: number;
  variables?: EfiVariables;
  /** Kernel files, for machines that are not this one. */
  blockDevices?: string;
  devices?: string;
  commandLine?: string;
  watchdogs?: string;
}

/** The back end "systemd-boot" for UEFI machines: slots and their state are names of files. */
export async function openSystemdBoot(options: SystemdBootOptions): Promise<BootBackEnd> {
  const variables = options.variables ?? new EfiVariables();
  const selected = await variables.readText("LoaderEntrySelected", EFI_NAMESPACE.loader);
  const running = slotOfEntryName(selected);
  if (!running) throw new Error(`the loader does not say which slot runs ("${selected ?? ""}")`);
  const { commandLine } = options;
  // Counted by the first script at every start.
  const healthy = () => rm(path.join(options.systemPartition, "vautn/boots"), { force: true });
  const bootloader = bootloaderOf(options, running);
  return {
    kind: "systemd-boot",
    slots: systemdBootSlots({
      systemPartition: options.systemPartition,
      capacityBytes: options.capacityBytes,
      rootDevice: (slot) => partitionDevice(`vautn-root-${slot}`, options),
    }),
    bootloader: {
      ...bootloader,
      async bless() {
        await bootloader.bless();
        await healthy();
      },
    },
    chain: uefiChain({ variables, ...(commandLine ? { commandLine } : {}) }),
    healthy,
  };
}

function bootloaderOf(options: SystemdBootOptions, running: SlotName): Bootloader {
  const folder = path.join(options.systemPartition, ENTRIES_FOLDER);
  const files = () => readdir(folder);
  /** One rename, made durable: after a power cut either name is found. */
  async function become(from: string, to: string): Promise<void> {
    if (from === path.join(folder, to)) return;
    await rename(from, path.join(folder, to));
    await syncEntry(path.join(folder, to));
    await syncFolder(folder);
  }
  async function rewriteOwn(tries: number | null): Promise<void> {
    const own = entryOf(await files(), running);
    if (!own) throw new Error(`the entry of slot ${running} is gone`);
    const name = entryName(own.generation, running, tries);
    await become(path.join(folder, own.file), name);
  }
  return {
    async status() {
      const found = await files();
      const own = entryOf(found, running);
      return {
        running,
        trial: own !== undefined && own.triesLeft !== null,
        abandoned: abandonedSlot(found),
        resetCause: await resetCause(options.watchdogs),
      };
    },
    async tryNext(slot, tries) {
      const found = await files();
      const entry = entryOf(found, slot);
      const from = entry
        ? path.join(folder, entry.file)
        : stagedKernel(options.systemPartition, slot);
      await become(from, entryName(nextGeneration(found), slot, tries));
    },
    bless: () => rewriteOwn(null),
    async abandonTrial() {
      const own = entryOf(await files(), running);
      if (own && own.triesLeft !== null) await rewriteOwn(0);
    },
  };
}

/** FAT keeps a file's size in its entry, and writes it there when the file is synced, not before. */
async function syncEntry(file: string): Promise<void> {
  const handle = await open(file, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The device of a partition, by its name in the table. */
export async function partitionDevice(
  name: string,
  options: { blockDevices?: string; devices?: string } = {},
): Promise<string> {
  const directory = options.blockDevices ?? "/sys/class/block";
  for (const device of await readdir(directory)) {
    const facts = await readFile(path.join(directory, device, "uevent"), "utf8");
    if (facts.split("\n").includes(`PARTNAME=${name}`))
      return path.join(options.devices ?? "/dev", device);
  }
  throw new Error(`there is no partition ${name}`);
}
