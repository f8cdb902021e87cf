import { createHash } from "node:crypto";
import fs from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import path from "node:path";
import { AppError } from "../kernel/index.ts";

/** What a backup says of itself, in `backup.json` beside the folder `data`. */
export interface BackupContents {
  format: "vautn-backup-1";
  /** ISO 8601. */
  createdAt: string;
  version: string;
  /** Whether `master.key` lies in it. */
  hasKey: boolean;
  /** Tells one master key from another, and nothing of either; null where it is none of the folder's. */
  keyFingerprint: string | null;
  sizeBytes: number;
  folders: { path: string; mode: number }[];
  links: { path: string; target: string }[];
  files: { path: string; mode: number; sizeBytes: number; sha256: string }[];
}

/** Bytes done and bytes in all. */
export type OnBackupProgress = (doneBytes: number, ofBytes: number) => void;

const FILES_AT_ONCE = 16;
const COPY_BYTES = 256 * 1024;

type Found = Pick<BackupContents, "folders" | "links" | "sizeBytes"> & { files: string[] };

/** All that lies below `root`, but for what is left out. */
export function look(root: string, leftOut: ReadonlySet<string>): Found {
  const found: Found = { folders: [], links: [], files: [], sizeBytes: 0 };
  const visit = (folder: string): void => {
    const entries = fs.readdirSync(path.join(root, folder), { withFileTypes: true });
    for (const entry of entries) {
      const name = path.posix.join(folder, entry.name);
      const place = path.join(root, name);
      if (leftOut.has(name)) continue;
      if (entry.isDirectory()) {
        found.folders.push({ path: name, mode: fs.statSync(place).mode & 0o777 });
        visit(name);
      } else if (entry.isSymbolicLink()) {
        found.links.push({ path: name, target: fs.readlinkSync(place) });
      } else if (entry.isFile()) {
        found.files.push(name);
        found.sizeBytes += fs.statSync(place).size;
      }
      // Sockets and pipes are of processes that are over.
    }
  };
  visit("");
  return found;
}

/** Copies what `look` found, each file forced to the disk; resolves with their checksums. */
export async function copyAll(
  from: string,
  to: string,
  found: Found,
  onProgress?: OnBackupProgress,
): Promise<BackupContents["files"]> {
  makeFrame(to, found);
  const files: BackupContents["files"] = [];
  let done = 0;
  await sideBySide(found.files, async (name) => {
    const mode = fs.statSync(path.join(from, name)).mode & 0o777;
    const read = await copyFile(path.join(from, name), path.join(to, name), mode);
    files.push({ path: name, mode, ...read });
    done += read.sizeBytes;
    onProgress?.(done, found.sizeBytes);
  });
  setModes(to, found.folders);
  return files;
}

/** Reads all files, and copies them where `to` is given; refuses the first that is another one. */
export async function checkAll(
  from: string,
  contents: BackupContents,
  onProgress?: OnBackupProgress,
  to?: string,
): Promise<void> {
  if (to) makeFrame(to, contents);
  let done = 0;
  await sideBySide(contents.files, async (file) => {
    const target = to && path.join(to, file.path);
    const read = await copyFile(path.join(from, file.path), target, file.mode);
    if (read.sha256 !== file.sha256 || read.sizeBytes !== file.sizeBytes) {
      throw new AppError("invalid-content", `the backup is damaged: ${file.path} is another file`);
    }
    done += file.sizeBytes;
    onProgress?.(done, contents.sizeBytes);
  });
  if (to) setModes(to, contents.folders);
}

/** Many small files wait for the disk together: their flushes are one. */
async function sideBySide<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const waiting = items.values();
  let failed = false;
  const one = async () => {
    for (const item of waiting) {
      if (failed) return;
      await work(item).catch((error) => {
        failed = true;
        throw error;
      });
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: FILES_AT_ONCE }, one));
  const first = ends.find((end) => end.status === "rejected");
  if (first) throw first.reason;
}

function makeFrame(to: string, { folders, links }: Pick<BackupContents, "folders" | "links">) {
  for (const folder of folders) fs.mkdirSync(path.join(to, folder.path), { mode: 0o700 });
  for (const link of links) fs.symlinkSync(link.target, path.join(to, link.path));
}

/** Last, for a folder may be closed to writing. */
function setModes(to: string, folders: BackupContents["folders"]): void {
  for (const { path: name, mode } of folders.toReversed()) {
    fs.chmodSync(path.join(to, name), mode);
    syncFolder(path.join(to, name));
  }
  syncFolder(to);
}

async function copyFile(
  from: string,
  to: string | undefined,
  mode: number,
): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(COPY_BYTES);
  let sizeBytes = 0;
  await using source = await openSource(from);
  await using target = to === undefined ? undefined : await open(to, "wx", mode);
  for (;;) {
    const { bytesRead } = await source.read(buffer, 0, COPY_BYTES);
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    await target?.writeFile(chunk);
    sizeBytes += bytesRead;
  }
  await target?.sync();
  return { sizeBytes, sha256: hash.digest("hex") };
}

async function openSource(file: string): Promise<FileHandle> {
  try {
    return await open(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new AppError("invalid-content", `the backup is damaged: ${file} is missing`);
  }
}

/** Forces the names in a folder to the disk. */
export function syncFolder(folder: string): void {
  const handle = fs.openSync(folder, "r");
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}
