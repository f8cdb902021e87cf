import type { Readable } from "node:stream";
import type { S3Client } from "@aws-sdk/client-s3";
import { AppError } from "../kernel/index.ts";
import type { S3Address } from "./s3-address.ts";

const PART_BYTES = 8 * 1024 ** 2;
const PARTS_AT_ONCE = 3;
/** A presigned URL is used at once; a download that has begun goes on after its end. */
const PRESIGNED_SECONDS = 300;

/** An S3-compatible store by keys, with its refusals in our words. The SDK is loaded when it is first needed. */
export class S3Bucket {
  readonly #address: S3Address;
  #client: Promise<S3Client> | undefined;

  constructor(address: S3Address) {
    this.#address = address;
  }

  async get(what: { Key: string; Range?: string }): Promise<Readable> {
    const { GetObjectCommand } = await import("@aws-sdk/client-s3");
    const command = new GetObjectCommand({ Bucket: this.#address.bucket, ...what });
    const { Body } = await this.#send((client) => client.send(command));
    return Body as Readable;
  }

  async sizeOf(Key: string): Promise<number> {
    const { HeadObjectCommand } = await import("@aws-sdk/client-s3");
    const command = new HeadObjectCommand({ Bucket: this.#address.bucket, Key });
    const { ContentLength } = await this.#send((client) => client.send(command));
    return ContentLength ?? 0;
  }

  async delete(Key: string): Promise<void> {
    const { DeleteObjectCommand } = await import("@aws-sdk/client-s3");
    const command = new DeleteObjectCommand({ Bucket: this.#address.bucket, Key });
    await this.#send((client) => client.send(command));
  }

  /** Everything whose key begins so. */
  async *listed(
    Prefix: string,
  ): AsyncGenerator<{ key: string; sizeBytes: number; changedAt: number }> {
    const { ListObjectsV2Command } = await import("@aws-sdk/client-s3");
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

  /** Where a device may fetch it from the store itself; undefined where it cannot. */
  async presigned(Key: string): Promise<string | undefined> {
    if (!this.#address.redirect) return undefined;
    const [{ GetObjectCommand }, { getSignedUrl }] = await Promise.all([
      import("@aws-sdk/client-s3"),
      import("@aws-sdk/s3-request-presigner"),
    ]);
    const command = new GetObjectCommand({ Bucket: this.#address.bucket, Key });
    return getSignedUrl(await this.#connect(), command, { expiresIn: PRESIGNED_SECONDS });
  }

  async upload(Key: string, Body: Readable): Promise<void> {
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
