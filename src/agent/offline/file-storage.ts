import {
  constants,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
} from "node:fs/promises";
import path from "node:path";
import type { Slots, Storage, StorageFile } from "../ports.ts";

/** A folder of the file system as the agent's storage; `sync` is fsync. */
export async function openFileStorage(directory: string): Promise<Storage> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const locate = (name: string) => {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) throw new Error(`"${name}" is no file name`);
    return path.join(directory, name);
  };
  return {
    open: (name) => openFile(locate(name)),
    async read(name) {
      try {
        return await readFile(locate(name));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    },
    rename: (from, to) => rename(locate(from), locate(to)),
    remove: (name) => rm(locate(name), { force: true }),
    list: () => readdir(directory),
    async syncDirectory() {
      const handle = await open(directory, "r");
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    },
  };
}

/** Slots as `a.img` and `b.img` beside the agent's other files. */
export function fileSlots(storage: Storage, capacityBytes: number): Slots {
  return { capacityBytes, open: (slot) => storage.open(`${slot}.img`) };
}

async function openFile(name: string): Promise<StorageFile> {
  const handle = await open(name, constants.O_RDWR | constants.O_CREAT, 0o600);
  return {
    sizeBytes: async () => (await handle.stat()).size,
    read: (offset, length, into) => readFully(handle, offset, length, into),
    write: (offset, bytes) => writeFully(handle, offset, bytes),
    truncate: (sizeBytes) => handle.truncate(sizeBytes),
    sync: () => handle.sync(),
    close: () => handle.close(),
  };
}

export async function readFully(
  handle: FileHandle,
  offset: number,
  length: number,
  buffer: Uint8Array = Buffer.allocUnsafe(length),
): Promise<Uint8Array> {
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

export async function writeFully(
  handle: FileHandle,
  offset: number,
  bytes: Uint8Array,
): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const left = bytes.length - written;
    const { bytesWritten } = await handle.write(bytes, written, left, offset + written);
    written += bytesWritten;
  }
}
