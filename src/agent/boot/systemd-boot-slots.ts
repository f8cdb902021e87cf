import { constants, type FileHandle, open, readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import {
  readSlotImageHeader,
  SLOT_IMAGE,
  type SlotImageLayout,
  slotImageHeader,
  slotImagePlaces,
} from "../../protocol/index.ts";
import { readFully, writeFully } from "../offline/file-storage.ts";
import type { SlotName, Slots, StorageFile } from "../ports.ts";
import { entryOf } from "./systemd-boot-entries.ts";

export interface SystemdBootPlaces {
  /** Where the system partition is mounted. */
  systemPartition: string;
  /** The device of a slot's root partition. */
  rootDevice(slot: SlotName): Promise<string>;
  capacityBytes: number;
}

/**
 * Slots in two places: the kernel on the system partition, the root image on a partition of its own.
 * To the updater each is one file, the slot image; a slot that is written is taken from the loader's
 * entries first, so that a half-written kernel is never among them.
 */
export function systemdBootSlots(places: SystemdBootPlaces): Slots {
  return {
    capacityBytes: places.capacityBytes,
    async open(slot) {
      const kernel = await kernelFile(places.systemPartition, slot);
      const root = await open(await places.rootDevice(slot), constants.O_RDWR);
      return new SlotFile(places.systemPartition, slot, kernel, root);
    },
  };
}

export const ENTRIES_FOLDER = "EFI/Linux";

export function stagedKernel(systemPartition: string, slot: SlotName): string {
  return path.join(systemPartition, "vautn", `slot-${slot}.img`);
}

/** The slot's kernel wherever it is; a new file where there is none. */
async function kernelFile(systemPartition: string, slot: SlotName): Promise<FileHandle> {
  const folder = path.join(systemPartition, ENTRIES_FOLDER);
  const entry = entryOf(await readdir(folder), slot);
  const file = entry ? path.join(folder, entry.file) : stagedKernel(systemPartition, slot);
  return open(file, constants.O_RDWR | constants.O_CREAT);
}

/** One slot as one file; offsets follow `slotImagePlaces`. */
class SlotFile implements StorageFile {
  readonly #systemPartition: string;
  readonly #slot: SlotName;
  readonly #kernel: FileHandle;
  readonly #root: FileHandle;
  #layout: SlotImageLayout | undefined;
  #header = Buffer.alloc(0);

  constructor(systemPartition: string, slot: SlotName, kernel: FileHandle, root: FileHandle) {
    this.#systemPartition = systemPartition;
    this.#slot = slot;
    this.#kernel = kernel;
    this.#root = root;
  }

  async sizeBytes(): Promise<number> {
    const layout = await this.#layoutNow();
    return layout ? slotImagePlaces(layout).sizeBytes : 0;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const layout = await this.#layoutNow();
    if (!layout) return Buffer.alloc(0);
    const { kernelAt, rootAt, sizeBytes } = slotImagePlaces(layout);
    const end = Math.min(offset + length, sizeBytes);
    const parts: Uint8Array[] = [];
    for (let at = offset; at < end; at += parts.at(-1)?.length ?? 0) {
      if (at < kernelAt) {
        parts.push(slotImageHeader(layout).subarray(at, Math.min(end, kernelAt)));
      } else if (at < rootAt) {
        parts.push(await this.#readKernel(at - kernelAt, Math.min(end, rootAt) - at));
      } else {
        const chunk = await readFully(this.#root, at - rootAt, end - at);
        if (chunk.length === 0) break;
        parts.push(chunk);
      }
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    let at = offset;
    let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (at < SLOT_IMAGE.blockBytes) {
      const taken = Math.min(rest.length, SLOT_IMAGE.blockBytes - at);
      if (at !== this.#header.length) throw new Error("a slot image is written from its start");
      this.#header = Buffer.concat([this.#header, rest.subarray(0, taken)]);
      if (this.#header.length === SLOT_IMAGE.blockBytes) await this.#begin();
      at += taken;
      rest = rest.subarray(taken);
    }
    if (rest.length > 0) await this.#writeParts(at, rest);
  }

  async truncate(sizeBytes: number): Promise<void> {
    if (sizeBytes !== 0) throw new Error("a slot image can only be begun anew");
    await this.#leaveEntries();
    this.#layout = undefined;
    this.#header = Buffer.alloc(0);
    await this.#kernel.truncate(0);
    await rm(this.#layoutFile(), { force: true });
  }

  async sync(): Promise<void> {
    await this.#root.sync();
    await this.#kernel.sync();
    await syncFolder(path.join(this.#systemPartition, "vautn"));
  }

  async close(): Promise<void> {
    await Promise.all([this.#kernel.close(), this.#root.close()]);
  }

  /** Kernel and what fills its last block up. */
  async #readKernel(offset: number, length: number): Promise<Uint8Array> {
    const chunk = await readFully(this.#kernel, offset, length);
    return chunk.length === length
      ? chunk
      : Buffer.concat([chunk, Buffer.alloc(length - chunk.length)]);
  }

  async #begin(): Promise<void> {
    this.#layout = readSlotImageHeader(this.#header);
    if (!this.#layout) throw new Error("the image is no slot image: it lacks the header");
    const file = await open(this.#layoutFile(), "w");
    try {
      await file.writeFile(this.#header);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async #writeParts(offset: number, bytes: Buffer): Promise<void> {
    const layout = await this.#layoutNow();
    if (!layout) throw new Error("a slot image is written from its start");
    const { kernelAt, rootAt } = slotImagePlaces(layout);
    if (offset < rootAt) {
      const inKernel = bytes.subarray(0, rootAt - offset);
      const real = Math.max(0, Math.min(inKernel.length, kernelAt + layout.kernelBytes - offset));
      await writeFully(this.#kernel, offset - kernelAt, inKernel.subarray(0, real));
    }
    const rest = bytes.subarray(Math.max(0, rootAt - offset));
    if (rest.length > 0) await writeFully(this.#root, Math.max(0, offset - rootAt), rest);
  }

  async #layoutNow(): Promise<SlotImageLayout | undefined> {
    if (this.#layout) return this.#layout;
    try {
      const file = await open(this.#layoutFile(), "r");
      try {
        this.#layout = readSlotImageHeader(await readFully(file, 0, SLOT_IMAGE.blockBytes));
      } finally {
        await file.close();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    return this.#layout;
  }

  #layoutFile(): string {
    return path.join(this.#systemPartition, "vautn", `slot-${this.#slot}.head`);
  }

  async #leaveEntries(): Promise<void> {
    const folder = path.join(this.#systemPartition, ENTRIES_FOLDER);
    const entry = entryOf(await readdir(folder), this.#slot);
    if (!entry) return;
    await rename(path.join(folder, entry.file), stagedKernel(this.#systemPartition, this.#slot));
    await this.#kernel.sync();
    await syncFolder(folder);
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
