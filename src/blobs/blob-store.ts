import { randomUUID } from "node:crypto";
import { constants, createReadStream, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import type { Readable } from "node:stream";
import { AppError, assert } from "../kernel/index.ts";
import { asStorageFull, removeFolder, syncDirectory, syncFile } from "./disk.ts";
import { writeHashed } from "./hashed-file.ts";
import { OWNER } from "./owner.ts";
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

/**
 * Immutable files named by the SHA-256 of their content, in one place: that of the tenants that share
 * theirs, or that of a tenant whose files lie apart.
 */
export interface BlobPlace {
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
  temporaryPath(): Promise<string>;
  delete(sha256: string): Promise<void>;
  /** Everything that is stored here, in no order. */
  list(): AsyncIterable<ListedBlob>;
  /** Where a device may fetch the blob by itself, for a few minutes; undefined where it cannot. */
  presignedUrl(sha256: string): Promise<string | undefined>;
  /** Where content of this place lies that is still arriving: by ids that nobody guesses. */
  readonly staging: Staging;
  /** Makes a blob of staged content of which the caller knows that it has this hash. Idempotent. */
  adopt(staged: Staged, stat: BlobStat): Promise<void>;
}

/** Content in the staging of a place, not necessarily of the one that adopts it. */
export interface Staged {
  staging: Staging;
  id: string;
  /** What the last `sync` of its writer gave. */
  state: string | null;
}

/** What is one tenant's alone. */
export interface OwnBlobs extends BlobPlace {
  /** Removes all of it, and the place unless a disk is mounted there. Idempotent. */
  drop(): Promise<void>;
}

/** The place of those that share theirs, the places of the others, and what is on its way to them. */
export interface BlobStore extends BlobPlace {
  /** Rejects where nothing could be stored or read now. */
  ping(): Promise<void>;
  /** The tenant's own place; it comes into being with the first blob. */
  own(tenantId: string): OwnBlobs;
  /** Tenants that have such a place. */
  owners(): Promise<string[]>;
}

const SHA256 = /^[0-9a-f]{64}$/;

/** Places of tenants whose files lie apart, by their ids. */
const OWNERS = "tenants";

/**
 * Opens the store in `directory`: `<first two digits>/<next two>/<hash>`, and the same again in
 * `tenants/<tenant>/` for each tenant whose files lie apart. A blob is written to `incoming/`, synced,
 * and only then gets its name, so that a name always means the whole content. What killed processes
 * left in `incoming/` is swept here; the processes of one platform share the folder, so the writes of
 * those that live are let be.
 */
export function openBlobStore({
  directory,
  url,
}: {
  directory: string;
  /** An S3-compatible store (`parseS3Address`); then the folder is for what is on its way. */
  url?: string | undefined;
}): BlobStore {
  makeFolders(directory, ["incoming", "uploads"]);
  sweepIncoming(path.join(directory, "incoming"));
  for (const name of namesIn(path.join(directory, OWNERS))) {
    sweepIncoming(path.join(directory, OWNERS, name, "incoming"));
  }
  if (url === undefined) return new FileBlobStore(directory);
  makeFolders(directory, ["copies"]);
  const filesOf = (folder: string) => ({
    ...{ directory: path.join(folder, "incoming"), copies: path.join(folder, "copies") },
    begin: () => makeFolders(folder, ["incoming", "copies"]),
    temporaryPath: () => temporaryIn(path.join(folder, "incoming")),
  });
  return new S3BlobStore(parseS3Address(url), filesOf(directory), (tenantId) => {
    const folder = path.join(directory, OWNERS, tenantId);
    return { ...filesOf(folder), folder };
  });
}

function makeFolders(directory: string, names: readonly string[]): void {
  for (const name of names) mkdirSync(path.join(directory, name), { recursive: true, mode: 0o700 });
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function temporaryIn(folder: string): string {
  return path.join(folder, `${process.pid}-${randomUUID()}`);
}

function sweepIncoming(folder: string): void {
  for (const name of namesIn(folder)) {
    if (!isAlive(Number.parseInt(name, 10))) rmSync(path.join(folder, name), { force: true });
  }
}

/** Files in one folder. */
class FilePlace implements BlobPlace {
  readonly directory: string;
  readonly incoming: string;
  readonly staging: FileStaging;
  readonly #recent: RecentBlocks;

  constructor(directory: string, recent: RecentBlocks) {
    this.directory = directory;
    this.incoming = path.join(directory, "incoming");
    this.staging = new FileStaging(path.join(directory, "uploads"), () => this.begin());
    this.#recent = recent;
  }

  async localPath(sha256: string): Promise<string> {
    return this.#path(sha256);
  }

  #path(sha256: string): string {
    if (!SHA256.test(sha256)) throw new AppError("not-found", "there is no such blob");
    return path.join(this.directory, sha256.slice(0, 2), sha256.slice(2, 4), sha256);
  }

  async temporaryPath(): Promise<string> {
    await this.begin();
    return temporaryIn(this.incoming);
  }

  async put(content: AsyncIterable<Uint8Array>, options: PutOptions): Promise<BlobStat> {
    const temporary = await this.temporaryPath();
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

  async adopt({ staging, id }: Staged, { sha256, sizeBytes }: BlobStat): Promise<void> {
    assert(staging instanceof FileStaging, "files are made of files");
    const staged = staging.path(id);
    await this.begin();
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
      (await fs.readdir(name).catch(none)).filter((entry) => /^[0-9a-f]{2}$/.test(entry));
    for (const first of await folders(this.directory)) {
      for (const second of await folders(path.join(this.directory, first))) {
        const folder = path.join(this.directory, first, second);
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

  /** To be called before something is written. */
  async begin(): Promise<void> {}

  async #publish(temporary: string, sha256: string): Promise<void> {
    const target = this.#path(sha256);
    const folder = path.dirname(target);
    await fs.mkdir(folder, { recursive: true, mode: 0o700 });
    // Two writers of the same content rename the same bytes: the later one changes nothing.
    await moveFile(temporary, target, temporaryIn(this.incoming));
    for (const name of [folder, path.dirname(folder), this.directory]) await syncDirectory(name);
  }
}

class FileBlobStore extends FilePlace implements BlobStore {
  readonly #recent: RecentBlocks;
  readonly #own = new Map<string, OwnFiles>();

  constructor(directory: string, recent = new RecentBlocks()) {
    super(directory, recent);
    this.#recent = recent;
  }

  async ping(): Promise<void> {
    for (const folder of [this.directory, this.incoming, path.join(this.directory, "uploads")]) {
      await fs.access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    }
  }

  own(tenantId: string): OwnBlobs {
    assert(OWNER.test(tenantId), "a place is a tenant's");
    const known = this.#own.get(tenantId);
    if (known) return known;
    const folder = path.join(this.directory, OWNERS, tenantId);
    const own = new OwnFiles(folder, this.#recent);
    this.#own.set(tenantId, own);
    return own;
  }

  async owners(): Promise<string[]> {
    return (await fs.readdir(path.join(this.directory, OWNERS)).catch(none)).filter((name) =>
      OWNER.test(name),
    );
  }
}

class OwnFiles extends FilePlace implements OwnBlobs {
  override async begin(): Promise<void> {
    const uploads = path.join(this.directory, "uploads");
    const made = [];
    for (const folder of [this.incoming, uploads]) {
      made.push(await fs.mkdir(folder, { recursive: true, mode: 0o700 }));
    }
    if (made.every((first) => first === undefined)) return;
    const owners = path.dirname(this.directory);
    for (const name of [this.directory, owners, path.dirname(owners)]) await syncDirectory(name);
  }

  async drop(): Promise<void> {
    for await (const { sha256 } of this.list()) await this.delete(sha256);
    await removeFolder(this.directory);
    await syncDirectory(path.dirname(this.directory)).catch((error) => {
      if (!isMissing(error)) throw error;
    });
  }
}

/** Renames a file; from another disk by a synced copy, which lies in `temporary` until it is whole. */
async function moveFile(source: string, target: string, temporary: string): Promise<void> {
  try {
    await fs.rename(source, target);
    return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
  }
  try {
    await fs.copyFile(source, temporary).catch((error) => {
      throw asStorageFull(error);
    });
    await syncFile(temporary);
    await fs.rename(temporary, target);
  } finally {
    await fs.rm(temporary, { force: true });
  }
  await fs.rm(source, { force: true });
}

function none(error: unknown): string[] {
  if (isMissing(error)) return [];
  throw error;
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
