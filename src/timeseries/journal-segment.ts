import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";

const open = promisify(fs.open);
const writev = promisify(fs.writev);
const close = promisify(fs.close);

/** Buffers that one system call takes (IOV_MAX is 1,024). */
const MAX_BUFFERS_PER_WRITE = 512;

/** What was written is on the disk, but the file has become another's meanwhile. */
export class SegmentTaken extends Error {}

/**
 * A file of the journal that grows. It belongs to whoever has given it its name last: a process that
 * takes over renames it first and reads it then, and a writer looks for its own name after each sync.
 * So what is acknowledged has been in the file before the other reads it.
 */
export class Segment {
  readonly path: string;
  readonly #appending = new Set<Promise<void>>();
  #file: Promise<{ fd: number; inode: number }> | undefined;
  #size = 0;

  constructor(path: string) {
    this.path = path;
  }

  get sizeBytes(): number {
    return this.#size;
  }

  /** Resolves when the bytes are on the disk; throws `SegmentTaken` where another has the file. */
  async append(buffers: readonly Buffer[]): Promise<void> {
    const appended = this.#append(buffers);
    this.#appending.add(appended);
    await appended.finally(() => this.#appending.delete(appended));
  }

  /** Resolves when nothing is on its way into the file any more. */
  async finish(): Promise<void> {
    await Promise.allSettled(this.#appending);
    const file = await this.#file?.catch(() => undefined);
    if (file) await close(file.fd);
  }

  async #append(buffers: readonly Buffer[]): Promise<void> {
    for (const buffer of buffers) this.#size += buffer.length;
    this.#file ??= create(this.path);
    const { fd, inode } = await this.#file;
    for (let start = 0; start < buffers.length; start += MAX_BUFFERS_PER_WRITE) {
      const part = buffers.slice(start, start + MAX_BUFFERS_PER_WRITE);
      const { bytesWritten } = await writev(fd, part);
      const wanted = part.reduce((sum, buffer) => sum + buffer.length, 0);
      // The disk is full, say. What follows would stand in the middle of another's record.
      if (bytesWritten !== wanted) throw new Error(`${bytesWritten} of ${wanted} bytes written`);
    }
    const found = fs.statSync(this.path, { throwIfNoEntry: false });
    if (found?.ino !== inode) throw new SegmentTaken(`${this.path} was taken over`);
  }
}

/** A new and empty file, whose name outlives a power cut. */
async function create(file: string): Promise<{ fd: number; inode: number }> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_APPEND, O_DSYNC } = fs.constants;
  // Each write returns when it is on the disk: one call instead of a write and a sync.
  const fd = await open(file, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_DSYNC, 0o600);
  const directory = await fs.promises.open(path.dirname(file), "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
  return { fd, inode: fs.fstatSync(fd).ino };
}

/** Makes the names in a folder outlive a power cut. */
export function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, "r");
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
