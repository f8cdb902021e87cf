import { createReadStream } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { AppError, isUuid } from "../kernel/index.ts";
import { writeAll } from "../kernel/write-all.ts";
import { asStorageFull, assertRoom, syncDirectory } from "./disk.ts";

/** Writes one piece of a staged file, from where an earlier one had ended. */
export interface StagingWriter {
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Resolves when all that was written would survive a power cut, to what the caller keeps beside the
   * offset that it has reached.
   */
  sync(): Promise<string | null>;
  close(): Promise<void>;
}

/**
 * Content that arrives piece by piece, over days and restarts, before it becomes a blob. `state` is what
 * the last `sync` gave; null where there was none.
 */
export interface Staging {
  /** How old what was written may get before it is synced. */
  readonly checkpointMs: number;
  /** Refuses with `storage-full` where so much more would not fit. */
  assertRoom(sizeBytes: number): Promise<void>;
  /** Whatever lies at `offset` and beyond is written over. `not-found` where it is shorter. */
  writer(id: string, offset: number, state: string | null): Promise<StagingWriter>;
  read(id: string, sizeBytes: number, state: string | null): AsyncIterable<Uint8Array>;
  remove(id: string): Promise<void>;
  /** Ids of all that is staged: for finding what nobody knows any more. */
  list(): Promise<{ id: string; changedAt: number }[]>;
}

/** Staging in a folder of files, one for each id (a UUID, so that no id is a path). */
export class FileStaging implements Staging {
  readonly checkpointMs = 2_000;
  readonly #directory: string;
  readonly #begin: () => Promise<void>;

  /** `begin` is called before something is written: the folder is there afterwards. */
  constructor(directory: string, begin: () => Promise<void> = async () => {}) {
    this.#directory = directory;
    this.#begin = begin;
  }

  path(id: string): string {
    if (!isUuid(id)) throw new AppError("not-found", "there is no such upload");
    return path.join(this.#directory, id.toLowerCase());
  }

  async assertRoom(sizeBytes: number): Promise<void> {
    await this.#begin();
    return assertRoom(this.#directory, sizeBytes);
  }

  async writer(id: string, offset: number): Promise<StagingWriter> {
    const file = this.path(id);
    await this.#begin();
    const handle = await fs.open(file, offset === 0 ? "w" : "r+", 0o600).catch(missing);
    let position = offset;
    try {
      const { size } = await handle.stat();
      if (size < offset) throw lost();
      await handle.truncate(offset);
      if (offset === 0) await syncDirectory(this.#directory);
    } catch (error) {
      await handle.close();
      throw asStorageFull(error);
    }
    return {
      async write(chunk) {
        await writeAll(handle, chunk, position).catch(full);
        position += chunk.length;
      },
      async sync() {
        await handle.datasync().catch(full);
        return null;
      },
      close: () => handle.close(),
    };
  }

  read(id: string, sizeBytes: number): AsyncIterable<Uint8Array> {
    if (sizeBytes === 0) return emptyContent();
    return createReadStream(this.path(id), { end: sizeBytes - 1, highWaterMark: 256 * 1024 });
  }

  async remove(id: string): Promise<void> {
    await fs.rm(this.path(id), { force: true });
  }

  async list(): Promise<{ id: string; changedAt: number }[]> {
    const names = (await fs.readdir(this.#directory).catch(none)).filter(isUuid);
    const found: { id: string; changedAt: number }[] = [];
    for (const id of names) {
      const stat = await fs.stat(path.join(this.#directory, id)).catch(() => undefined);
      if (stat) found.push({ id, changedAt: stat.mtimeMs });
    }
    return found;
  }
}

/** A place without uploads has no folder for them. */
function none(error: unknown): string[] {
  if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
  throw error;
}

async function* emptyContent(): AsyncIterable<Uint8Array> {}

function lost(): AppError {
  return new AppError("upload-gone", "the bytes of this upload are not here any more");
}

function missing(error: unknown): never {
  if ((error as NodeJS.ErrnoException).code === "ENOENT") throw lost();
  throw asStorageFull(error);
}

function full(error: unknown): never {
  throw asStorageFull(error);
}
