import fs from "node:fs/promises";
import path from "node:path";
import { AppError } from "../kernel/index.ts";

/** Room that is left to everything else on the disk: databases stop when there is none. */
const RESERVE_BYTES = 64 * 1024 ** 2;

/** Refuses with `storage-full` what would not fit on the disk of `directory`. */
export async function assertRoom(directory: string, sizeBytes: number): Promise<void> {
  const { bavail, bsize } = await fs.statfs(directory);
  const freeBytes = bavail * bsize;
  if (freeBytes >= sizeBytes + RESERVE_BYTES) return;
  throw new AppError("storage-full", "the disk has no room for this much", {
    sizeBytes,
    freeBytes: Math.max(0, freeBytes - RESERVE_BYTES),
  });
}

/** A full disk, quota or file size limit as the refusal `storage-full`; the rest unchanged. */
export function asStorageFull(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code ?? "";
  if (!["ENOSPC", "EDQUOT", "EFBIG"].includes(code)) return error;
  return new AppError("storage-full", "the disk is full", {}, { cause: error });
}

/** What was written to the file would survive a power cut. */
export async function syncFile(file: string): Promise<void> {
  const handle = await fs.open(file, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A new name, or a name that is gone, is durable when its directory is. */
export function syncDirectory(directory: string): Promise<void> {
  return syncFile(directory);
}

/** Made by the file system itself, in the root of a disk. */
const OF_THE_DISK = "lost+found";

/** Removes all that lies in a folder, and the folder too unless a disk is mounted there. Idempotent. */
export async function removeFolder(directory: string): Promise<void> {
  const names = await fs
    .readdir(directory)
    .catch((error) => unlessCode<string[]>(error, "ENOENT", []));
  for (const name of names) {
    if (name !== OF_THE_DISK) {
      await fs.rm(path.join(directory, name), { recursive: true, force: true });
    }
  }
  if (names.includes(OF_THE_DISK)) return;
  await fs
    .rm(directory, { recursive: true, force: true })
    .catch((error) => unlessCode(error, "EBUSY", undefined));
}

function unlessCode<T>(error: unknown, code: string, otherwise: T): T {
  if ((error as NodeJS.ErrnoException | null)?.code === code) return otherwise;
  throw error;
}
