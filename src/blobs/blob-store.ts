import { randomUUID } from "node:crypto";
import { constants, createReadStream, mkdirSync, readdirSync, rmSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import type { Readable } from "node:stream";
import { AppError } from "../kernel/index.ts";
import { syncDirectory } from "./disk.ts";
import { writeHashed } from "./hashed-file.ts";
import { BLOCK_BYTES, RecentBlocks } from "./recent-blocks.ts";
import { parseS3Address } from "./s3-address.ts";
import { S3BlobStore } from "./s3-blob-store.ts";
import { FileStaging, type Staging } from "./staging.ts";

export interface BlobStat {
  sha256: string;
  sizeBytes: number;
}

export interface ListedBlob extends BlobStat {
  /** When it was stored last, in milliseconds since the epoch. */
  createdAt: number;
}

export interface PutOptions {
  maxBytes: number;
  /** Refused with `image-mismatch` when the content has another hash. */
  expectedSha256?: string;
}

/** Both ends are included. */
interface ByteRange {
  start: number;
  end: number;
}

/** Immutable files named by the SHA-256 of their content. */
export interface BlobStore {
  /** Stores all of `content`; resolves when it would survive a power cut. Idempotent. */
  put(content: AsyncIterable<Uint8Array>, options: PutOptions): Promise<BlobStat>;
  /** Bytes `start` to `end`, both included; the whole blob without a range. */
  open(sha256: string, range?: ByteRange): Promise<Readable>;
  /** The same for what many read at about the same time: blocks of it are kept for the next. */
  openShared(sha256: string, range?: ByteRange): Promise<Readable>;
  stat(sha256: string): Promise<BlobStat | undefined>;
  has(sha256: string): Promise<boolean>;
  /** A file on this machine with the blob's content, for workers that read files. */
  localPath(sha256: string): Promise<string>;
  /** Name for a file that a caller fills, puts and removes; swept if the caller dies. */
  temporaryPath(): string;
  delete(sha256: string): Promise<void>;
  /** Rejects where nothing could be stored or read now. */
  ping(): Promise<void>;
  /** Everything that is stored, in no order. */
  list(): AsyncIterable<ListedBlob>;
  /** Where a device may fetch the blob by itself, for a few minutes; undefined where it cannot. */
  presignedUrl(sha256: string): Promise<string | undefined>;
  /** Where content lies that is still arriving. */
  staging: Staging;
  /** Makes a blob of staged content of which the caller knows that it has this hash. Idempotent. */
  adopt(stagingId: string, stat: BlobStat, state: string | null): Promise<void>;
}

const SHA256 = /^[0-9a-f]{64}$/;

/**
 * Opens the store in `directory`: `<first two digits>/<next two>/<hash>`. A blob is written to
 * `incoming/`, synced, and only then gets its name, so that a name always means the whole content.
 * What killed processes left in `incoming/` is swept here; the processes of one platform share the
 * folder, so the writes of those that live are let be.
 */
export function openBlobStore({
  directory,
  url,
}: {
  directory: string;
  /** An S3-compatible store (`parseS3Address`); then the folder is for what is on its way. */
  url?: string | undefined;
}): BlobStore {
  const incoming = path.join(directory, "incoming");
  const uploads = path.join(directory, "uploads");
  for (const name of [incoming, uploads]) mkdirSync(name, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(incoming)) {
    if (!isAlive(Number.parseInt(name, 10))) rmSync(path.join(incoming, name), { force: true });
  }
  if (url === undefined) {
    return new FileBlobStore(directory, incoming, new FileStaging(uploads));
  }
  const copies = path.join(directory, "copies");
  mkdirSync(copies, { recursive: true, mode: 0o700 });
  const temporaryPath = () => path.join(incoming, `${process.pid}-${randomUUID()}`);
  return new S3BlobStore(parseS3Address(url), { temporaryPath, copies, directory: incoming });
}

class FileBlobStore implements BlobStore {
  readonly #directory: string;
  readonly #incoming: string;
  readonly staging: FileStaging;
  readonly #recent = new RecentBlocks();

  constructor(directory: string, incoming: string, staging: FileStaging) {
    this.#directory = directory;
    this.#incoming = incoming;
    this.staging = staging;
  }

  async localPath(sha256: string): Promise<string> {
    return this.#path(sha256);
  }

  async ping(): Promise<void> {
    for (const folder of [this.#directory, this.#incoming, path.join(this.#directory, "uploads")]) {
      await fs.access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    }
  }

  #path(sha256: string): string {
    if (!SHA256.test(sha256)) throw new AppError("not-found", "there is no such blob");
    return path.join(this.#directory, sha256.slice(0, 2), sha256.slice(2, 4), sha256);
  }

  temporaryPath(): string {
    return path.join(this.#incoming, `${process.pid}-${randomUUID()}`);
  }

  async put(content: AsyncIterable<Uint8Array>, options: PutOptions): Promise<BlobStat> {
    const temporary = this.temporaryPath();
    try {
      const stat = await writeHashed(temporary, content, options);
      await this.#publish(temporary, stat.sha256);
      return stat;
    } finally {
      await fs.rm(temporary, { force: true });
    }
  }

  async open(sha256: string, range?: ByteRange): Promise<Readable> {
    await this.#within(sha256, range);
    return createReadStream(this.#path(sha256), { ...range, highWaterMark: BLOCK_BYTES });
  }

  async openShared(sha256: string, range?: ByteRange): Promise<Readable> {
    const { sizeBytes } = await this.#within(sha256, range);
    const file = { name: sha256, path: this.#path(sha256), sizeBytes };
    return this.#recent.stream(file, range ?? { start: 0, end: sizeBytes - 1 });
  }

  async #within(sha256: string, range: ByteRange | undefined): Promise<BlobStat> {
    const stat = await this.stat(sha256);
    if (!stat) throw new AppError("not-found", "there is no such blob");
    const { sizeBytes } = stat;
    if (range && !(range.start >= 0 && range.start <= range.end && range.end < sizeBytes)) {
      throw new AppError("range-not-satisfiable", "the range lies outside the blob", { sizeBytes });
    }
    return stat;
  }

  async stat(sha256: string): Promise<BlobStat | undefined> {
    try {
      const { size } = await fs.stat(this.#path(sha256));
      return { sha256, sizeBytes: size };
    } catch (error) {
      if (isMissing(error) || error instanceof AppError) return undefined;
      throw error;
    }
  }

  async has(sha256: string): Promise<boolean> {
    return (await this.stat(sha256)) !== undefined;
  }

  async adopt(stagingId: string, { sha256, sizeBytes }: BlobStat): Promise<void> {
    const staged = this.staging.path(stagingId);
    try {
      await fs.truncate(staged, sizeBytes);
      // How old a blob is counts from when it became one.
      const now = new Date();
      await fs.utimes(staged, now, now);
    } catch (error) {
      if (!isMissing(error)) throw error;
      // An earlier attempt got this far and was cut off before it could say so.
      if ((await this.stat(sha256))?.sizeBytes === sizeBytes) return;
      throw new AppError("upload-gone", "the bytes of this upload are not here any more");
    }
    await this.#publish(staged, sha256);
  }

  async *list(): AsyncGenerator<ListedBlob> {
    const folders = async (name: string) =>
      (await fs.readdir(name)).filter((entry) => /^[0-9a-f]{2}$/.test(entry));
    for (const first of await folders(this.#directory)) {
      for (const second of await folders(path.join(this.#directory, first))) {
        const folder = path.join(this.#directory, first, second);
        for (const name of await fs.readdir(folder)) {
          const stat =
            SHA256.test(name) && (await fs.stat(path.join(folder, name)).catch(() => null));
          if (stat) yield { sha256: name, sizeBytes: stat.size, createdAt: stat.mtimeMs };
        }
      }
    }
  }

  async presignedUrl(): Promise<undefined> {
    return undefined;
  }

  async delete(sha256: string): Promise<void> {
    this.#recent.forget(sha256);
    await fs.rm(this.#path(sha256), { force: true });
  }

  async #publish(temporary: string, sha256: string): Promise<void> {
    const target = this.#path(sha256);
    const folder = path.dirname(target);
    await fs.mkdir(folder, { recursive: true, mode: 0o700 });
    // Two writers of the same content rename the same bytes: the later one changes nothing.
    await fs.rename(temporary, target);
    for (const name of [folder, path.dirname(folder), this.#directory]) await syncDirectory(name);
  }
}

function isAlive(processId: number): boolean {
  // Nothing of this process can be unfinished when it opens the store: its id was another's before.
  if (processId === process.pid || !Number.isInteger(processId)) return false;
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | null)?.code === "ENOENT";
}
