import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

/** Disks of a test's own, which only root may have, and not everywhere. */

export function run(program: string, ...args: string[]): boolean {
  return spawnSync(program, args).status === 0;
}

/** A disk in memory at an existing folder. */
export function mountMemory(at: string, sizeBytes: number): boolean {
  return run("mount", "-t", "tmpfs", "-o", `size=${sizeBytes}`, "tmpfs", at);
}

/** A file that is a disk with an empty file system. */
export function makeDisk(file: string, sizeBytes: number): boolean {
  fs.writeFileSync(file, "");
  fs.truncateSync(file, sizeBytes);
  return run("mkfs.ext4", "-q", "-F", file);
}

/** The disk that a file is, at a folder that is made for it. */
export function mountDisk(file: string, at: string): boolean {
  fs.mkdirSync(at);
  return run("mount", "-o", "loop", file, at);
}

export function unmount(at: string): boolean {
  return run("umount", "-l", at);
}

export function canMountMemory(): boolean {
  return tried((directory) => mountMemory(directory, 1024 ** 2) && unmount(directory));
}

export function canMountDisks(): boolean {
  return tried((directory) => {
    const [file, place] = [path.join(directory, "disk"), path.join(directory, "mounted")];
    return makeDisk(file, 4 * 1024 ** 2) && mountDisk(file, place) && unmount(place);
  });
}

function tried(work: (directory: string) => boolean): boolean {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-disk-"));
  try {
    return work(directory);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}
