import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { S3Client } from "@aws-sdk/client-s3";
import { AppError } from "../kernel/index.ts";
import type { BlobStat, BlobStore, ListedBlob, PutOptions } from "./blob-store.ts";
import { writeHashed } from "./hashed-file.ts";
import type { S3Address } from "./s3-address.ts";
import { S3Staging } from "./s3-staging.ts";

const SHA256 = /^[0-9a-f]{64}$/;
const PART_BYTES = 8 * 1024 ** 2;
const PARTS_AT_ONCE = 3;
const READ_BYTES = 256 * 1024;
/** A presigned URL is used at once; a download that has begun goes on after its end. */
const PRESIGNED_SECONDS = 300;
/** Copies for builders of deltas. */
const MAX_LOCAL_COPIES = 16;
/** So long after it was handed out, a copy may still be about to be read. */
const COPY_KEPT_MS = 3_600_000;

export interface S3Files {
  temporaryPath(): string;
  /** Where those are. */
  directory: string;
  /** Folder of copies on this machine. */
  copies: string;
}

/**
 * Blobs in an S3-compatible store, by the same names. What comes in is hashed into a file on this
 * machine first, since its hash is its name; it goes on from there in parts, so that nothing of it
 * stands in memory. The SDK is loaded when it is first needed.
 */
export class S3BlobStore implements BlobStore {
  readonly #address: S3Address;
  readonly #files: S3Files;
  #client: Promise<S3Client> | undefined;

  /** In the store too: whichever API machine a request comes to goes on with an upload. */
  readonly staging: S3Staging;

  constructor(address: S3Address, files: S3Files) {
    this.#address = address;
    this.#files = files;
    const { prefix } = address;
    this.staging = new S3Staging({
      ...files,
      putFile: (key, file) =>
        this.#upload(prefix + key, createReadStream(file, { highWaterMark: READ_BYTES })),
      open: (key) => this.#get({ Key: prefix + key }),
      delete: (key) => this.#delete(prefix + key),
      list: (folder) => this.#staged(folder),
    });
  }

  temporaryPath(): string {
    return this.#files.temporaryPath();
  }

  async ping(): Promise<void> {
    // That there is no such blob is an answer, too.
    await this.stat("0".repeat(64));
  }

  async put(content: AsyncIterable<Uint8Array>, options: PutOptions): Promise<BlobStat> {
    const temporary = this.temporaryPath();
    try {
      const stat = await writeHashed(temporary, content, options);
      const file = createReadStream(temporary, { highWaterMark: READ_BYTES });
      await this.#upload(this.#object(stat.sha256).Key, file);
      return stat;
    } finally {
      await fs.rm(temporary, { force: true });
    }
  }

  async adopt(
    stagingId: string,
    { sha256, sizeBytes }: BlobStat,
    state: string | null,
  ): Promise<void> {
    // There already, from somebody else or from an attempt that could not say so any more.
    if ((await this.stat(sha256))?.sizeBytes !== sizeBytes) {
      const content = Readable.from(this.staging.read(stagingId, sizeBytes, state));
      await this.#upload(this.#object(sha256).Key, content);
    }
    await this.staging.remove(stagingId);
  }

  async open(sha256: string, range?: { start: number; end: number }): Promise<Readable> {
    return this.#get({
      Key: this.#object(sha256).Key,
      ...(range ? { Range: `bytes=${range.start}-${range.end}` } : {}),
    });
  }

  /** Devices are sent to the store itself; what the platform reads of it is not read by many. */
  openShared(sha256: string, range?: { start: number; end: number }): Promise<Readable> {
    return this.open(sha256, range);
  }

  async #get(what: { Key: string; Range?: string }): Promise<Readable> {
    const { GetObjectCommand } = await import("@aws-sdk/client-s3");
    const command = new GetObjectCommand({ Bucket: this.#address.bucket, ...what });
    const { Body } = await this.#send((client) => client.send(command));
    return Body as Readable;
  }

  async stat(sha256: string): Promise<BlobStat | undefined> {
    if (!SHA256.test(sha256)) return undefined;
    const { HeadObjectCommand } = await import("@aws-sdk/client-s3");
    try {
      const command = new HeadObjectCommand(this.#object(sha256));
      const { ContentLength } = await this.#send((client) => client.send(command));
      return { sha256, sizeBytes: ContentLength ?? 0 };
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
    await this.#dropCopies(now.getTime() - COPY_KEPT_MS);
    const temporary = this.temporaryPath();
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
    await this.#delete(this.#object(sha256).Key);
  }

  async #delete(Key: string): Promise<void> {
    const { DeleteObjectCommand } = await import("@aws-sdk/client-s3");
    const command = new DeleteObjectCommand({ Bucket: this.#address.bucket, Key });
    await this.#send((client) => client.send(command));
  }

  async *list(): AsyncGenerator<ListedBlob> {
    for await (const { key, sizeBytes, changedAt } of this.#listed("blobs/")) {
      const sha256 = key.split("/").at(-1) ?? "";
      if (SHA256.test(sha256)) yield { sha256, sizeBytes, createdAt: changedAt };
    }
  }

  async *#staged(folder: string) {
    const { length } = this.#address.prefix;
    for await (const { key, changedAt } of this.#listed(folder)) {
      yield { key: key.slice(length), changedAt };
    }
  }

  async *#listed(folder: string) {
    const { ListObjectsV2Command } = await import("@aws-sdk/client-s3");
    const Prefix = this.#address.prefix + folder;
    for (let ContinuationToken: string | undefined; ; ) {
      const command = new ListObjectsV2Command({
        ...{ Bucket: this.#address.bucket, Prefix, ContinuationToken },
      });
      const page = await this.#send((client) => client.send(command));
      for (const { Key = "", LastModified, Size = 0 } of page.Contents ?? []) {
        yield { key: Key, sizeBytes: Size, changedAt: LastModified?.getTime() ?? Date.now() };
      }
      ContinuationToken = page.NextContinuationToken;
      if (!page.IsTruncated || ContinuationToken === undefined) return;
    }
  }

  /** Where a device may fetch the blob from the store itself; undefined where it cannot. */
  async presignedUrl(sha256: string): Promise<string | undefined> {
    if (!this.#address.redirect) return undefined;
    const [{ GetObjectCommand }, { getSignedUrl }] = await Promise.all([
      import("@aws-sdk/client-s3"),
      import("@aws-sdk/s3-request-presigner"),
    ]);
    const command = new GetObjectCommand(this.#object(sha256));
    return getSignedUrl(await this.#connect(), command, { expiresIn: PRESIGNED_SECONDS });
  }

  #object(sha256: string): { Bucket: string; Key: string } {
    if (!SHA256.test(sha256)) throw new AppError("not-found", "there is no such blob");
    const { bucket, prefix } = this.#address;
    const folders = `${sha256.slice(0, 2)}/${sha256.slice(2, 4)}`;
    return { Bucket: bucket, Key: `${prefix}blobs/${folders}/${sha256}` };
  }

  async #upload(Key: string, Body: Readable): Promise<void> {
    const { encryption, kmsKeyId } = this.#address;
    const { Upload } = await import("@aws-sdk/lib-storage");
    await this.#send((client) =>
      new Upload({
        client,
        partSize: PART_BYTES,
        queueSize: PARTS_AT_ONCE,
        params: {
          Bucket: this.#address.bucket,
          ...{ Key, Body },
          ContentType: "application/octet-stream",
          ...(encryption ? { ServerSideEncryption: encryption } : {}),
          ...(kmsKeyId ? { SSEKMSKeyId: kmsKeyId } : {}),
        },
      }).done(),
    );
  }

  #connect(): Promise<S3Client> {
    const { region, endpoint, pathStyle } = this.#address;
    this.#client ??= import("@aws-sdk/client-s3").then(
      ({ S3Client }) =>
        new S3Client({
          region,
          forcePathStyle: pathStyle,
          maxAttempts: 4,
          // Not every store knows the newer checksums; names are hashes, and readers compare them.
          requestChecksumCalculation: "WHEN_REQUIRED",
          responseChecksumValidation: "WHEN_REQUIRED",
          ...(endpoint ? { endpoint } : {}),
        }),
    );
    return this.#client;
  }

  /** The store's refusals in our words; what it says of keys and accounts stays in the cause. */
  async #send<T>(call: (client: S3Client) => Promise<T>): Promise<T> {
    try {
      return await call(await this.#connect());
    } catch (error) {
      const { name, $metadata } = error as {
        name?: string;
        $metadata?: { httpStatusCode?: number };
      };
      if (name === "NotFound" || name === "NoSuchKey" || $metadata?.httpStatusCode === 404) {
        throw new AppError("not-found", "there is no such blob");
      }
      if (error instanceof AppError) throw error;
      throw new AppError(
        "unavailable",
        `the blob store does not answer: ${name}`,
        {},
        { cause: error },
      );
    }
  }
}
