import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AppError, assert } from "../kernel/index.ts";
import type {
  BlobPlace,
  BlobStat,
  BlobStore,
  ListedBlob,
  OwnBlobs,
  PutOptions,
  Staged,
} from "./blob-store.ts";
import { removeFolder } from "./disk.ts";
import { writeHashed } from "./hashed-file.ts";
import { OWNER } from "./owner.ts";
import type { S3Address } from "./s3-address.ts";
import { S3Bucket } from "./s3-bucket.ts";
import { S3Staging } from "./s3-staging.ts";

const SHA256 = /^[0-9a-f]{64}$/;
const READ_BYTES = 256 * 1024;
/** Copies for builders of deltas. */
const MAX_LOCAL_COPIES = 16;
/** So long after it was handed out, a copy may still be about to be read. */
const COPY_KEPT_MS = 3_600_000;

export interface S3Files {
  /** To be called before something is written. */
  begin(): void;
  temporaryPath(): string;
  /** Where those are. */
  directory: string;
  /** Folder of copies on this machine. */
  copies: string;
}

/** The files of a tenant whose blobs lie apart: nothing else is in `folder`. */
export interface OwnS3Files extends S3Files {
  folder: string;
}

/**
 * Blobs in an S3-compatible store, by the same names. What comes in is hashed into a file on this
 * machine first, since its hash is its name; it goes on from there in parts, so that nothing of it
 * stands in memory. The SDK is loaded when it is first needed.
 */
class S3Place implements BlobPlace {
  readonly #bucket: S3Bucket;
  /** What the keys of this place begin with. */
  readonly #prefix: string;
  readonly #files: S3Files;
  /** In the store too: whichever API machine a request comes to goes on with an upload. */
  readonly staging: S3Staging;

  constructor(bucket: S3Bucket, prefix: string, files: S3Files) {
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#files = files;
    this.staging = new S3Staging({
      ...files,
      putFile: (key, file) =>
        bucket.upload(prefix + key, createReadStream(file, { highWaterMark: READ_BYTES })),
      open: (key) => bucket.get({ Key: prefix + key }),
      delete: (key) => bucket.delete(prefix + key),
      list: (folder) => this.#staged(folder),
    });
  }

  async *#staged(folder: string) {
    const { length } = this.#prefix;
    for await (const { key, changedAt } of this.#bucket.listed(this.#prefix + folder)) {
      yield { key: key.slice(length), changedAt };
    }
  }

  async temporaryPath(): Promise<string> {
    this.#files.begin();
    return this.#files.temporaryPath();
  }

  async put(content: AsyncIterable<Uint8Array>, options: PutOptions): Promise<BlobStat> {
    const temporary = await this.temporaryPath();
    try {
      const stat = await writeHashed(temporary, content, options);
      const file = createReadStream(temporary, { highWaterMark: READ_BYTES });
      await this.#bucket.upload(this.#key(stat.sha256), file);
      return stat;
    } finally {
      await fs.rm(temporary, { force: true });
    }
  }

  async adopt({ staging, id, state }: Staged, { sha256, sizeBytes }: BlobStat): Promise<void> {
    // There already, from somebody else or from an attempt that could not say so any more.
    if ((await this.stat(sha256))?.sizeBytes !== sizeBytes) {
      const content = Readable.from(staging.read(id, sizeBytes, state));
      await this.#bucket.upload(this.#key(sha256), content);
    }
    await staging.remove(id);
  }

  async open(sha256: string, range?: { start: number; end: number }): Promise<Readable> {
    return this.#bucket.get({
      Key: this.#key(sha256),
      ...(range ? { Range: `bytes=${range.start}-${range.end}` } : {}),
    });
  }

  /** Devices are sent to the store itself; what the platform reads of it is not read by many. */
  openShared(sha256: string, range?: { start: number; end: number }): Promise<Readable> {
    return this.open(sha256, range);
  }

  async stat(sha256: string): Promise<BlobStat | undefined> {
    if (!SHA256.test(sha256)) return undefined;
    try {
      return { sha256, sizeBytes: await this.#bucket.sizeOf(this.#key(sha256)) };
    } catch (error) {
      if (error instanceof AppError && error.code === "not-found") return undefined;
      throw error;
    }
  }

  async has(sha256: string): Promise<boolean> {
    return (await this.stat(sha256)) !== undefined;
  }

  /** A verified copy on this machine, for builders that read files. */
  async localPath(sha256: string): Promise<string> {
    const file = path.join(this.#files.copies, sha256);
    const now = new Date();
    // When it was handed out last, for all processes that share the folder.
    const isHere = await fs.utimes(file, now, now).then(
      () => true,
      () => false,
    );
    if (isHere) return file;
    this.#files.begin();
    await this.#dropCopies(now.getTime() - COPY_KEPT_MS);
    const temporary = await this.temporaryPath();
    try {
      const hash = createHash("sha256");
      await pipeline(
        await this.open(sha256),
        async function* (source) {
          for await (const chunk of source) {
            hash.update(chunk as Buffer);
            yield chunk;
          }
        },
        createWriteStream(temporary, { mode: 0o600 }),
      );
      if (hash.digest("hex") !== sha256) {
        throw new AppError("unavailable", "the store holds another content by this name");
      }
      await fs.rename(temporary, file);
    } finally {
      await fs.rm(temporary, { force: true });
    }
    return file;
  }

  /** Makes place for one more copy; those handed out since `keptSince` stay, however many. */
  async #dropCopies(keptSince: number): Promise<void> {
    const { copies } = this.#files;
    const found: { file: string; usedAt: number }[] = [];
    for (const name of await fs.readdir(copies)) {
      const file = path.join(copies, name);
      const stat = await fs.stat(file).catch(() => undefined);
      if (stat) found.push({ file, usedAt: stat.mtimeMs });
    }
    found.sort((left, right) => left.usedAt - right.usedAt);
    const tooMany = Math.max(0, found.length - MAX_LOCAL_COPIES + 1);
    for (const { file, usedAt } of found.slice(0, tooMany)) {
      if (usedAt < keptSince) await fs.rm(file, { force: true });
    }
  }

  async delete(sha256: string): Promise<void> {
    await this.#bucket.delete(this.#key(sha256));
    await fs.rm(path.join(this.#files.copies, sha256), { force: true });
  }

  async *list(): AsyncGenerator<ListedBlob> {
    for await (const { key, sizeBytes, changedAt } of this.#bucket.listed(
      `${this.#prefix}blobs/`,
    )) {
      const sha256 = key.split("/").at(-1) ?? "";
      if (SHA256.test(sha256)) yield { sha256, sizeBytes, createdAt: changedAt };
    }
  }

  /** Where a device may fetch the blob from the store itself; undefined where it cannot. */
  async presignedUrl(sha256: string): Promise<string | undefined> {
    return this.#bucket.presigned(this.#key(sha256));
  }

  #key(sha256: string): string {
    if (!SHA256.test(sha256)) throw new AppError("not-found", "there is no such blob");
    return `${this.#prefix}blobs/${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256}`;
  }
}

/** The place of those that share theirs, and the way to the others. */
export class S3BlobStore extends S3Place implements BlobStore {
  readonly #bucket: S3Bucket;
  readonly #prefix: string;
  readonly #ownFiles: (tenantId: string) => OwnS3Files;
  readonly #own = new Map<string, OwnS3Blobs>();

  constructor(address: S3Address, files: S3Files, ownFiles: (tenantId: string) => OwnS3Files) {
    const bucket = new S3Bucket(address);
    const { prefix } = address;
    super(bucket, prefix, files);
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#ownFiles = ownFiles;
  }

  async ping(): Promise<void> {
    // That there is no such blob is an answer, too.
    await this.stat("0".repeat(64));
  }

  own(tenantId: string): OwnBlobs {
    assert(OWNER.test(tenantId), "a place is a tenant's");
    const known = this.#own.get(tenantId);
    if (known) return known;
    const place = {
      prefix: `${this.#prefix}tenants/${tenantId}/`,
      files: this.#ownFiles(tenantId),
    };
    const own = new OwnS3Blobs(this.#bucket, place);
    this.#own.set(tenantId, own);
    return own;
  }

  async owners(): Promise<string[]> {
    const folder = `${this.#prefix}tenants/`;
    const owners = new Set<string>();
    // Not every store tells the folders alone; what is in them is looked at afterwards anyway.
    for await (const { key } of this.#bucket.listed(folder)) {
      owners.add(key.slice(folder.length).split("/")[0] ?? "");
    }
    return [...owners].filter((name) => OWNER.test(name));
  }
}

class OwnS3Blobs extends S3Place implements OwnBlobs {
  readonly #bucket: S3Bucket;
  readonly #prefix: string;
  readonly #folder: string;

  constructor(bucket: S3Bucket, { prefix, files }: { prefix: string; files: OwnS3Files }) {
    super(bucket, prefix, files);
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#folder = files.folder;
  }

  async drop(): Promise<void> {
    for await (const { key } of this.#bucket.listed(this.#prefix)) await this.#bucket.delete(key);
    await removeFolder(this.#folder);
  }
}
