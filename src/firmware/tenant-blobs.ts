import type { Readable } from "node:stream";
import type { BlobPlace, BlobStat, BlobStore, PutOptions } from "../blobs/index.ts";
import { isAppError } from "../kernel/index.ts";
import type { StorageClass } from "../tenancy/index.ts";
import type { FirmwareDeps } from "./deps.ts";

/**
 * The blobs of a tenant: written where its storage class has them, and read from there or, while they
 * are being moved, from where they still are. Whether the tenant has a blob at all is not asked here:
 * its rows say so.
 */
export async function blobsOf(
  { blobs, tenancy }: Pick<FirmwareDeps, "blobs" | "tenancy">,
  tenantId: string,
): Promise<BlobPlace> {
  const storageClass = (await tenancy.storageClass?.(tenantId)) ?? "shared";
  return new TenantBlobs(placesOf(blobs, tenantId, storageClass));
}

export interface Places {
  /** Where the class has them. */
  right: BlobPlace;
  other: BlobPlace;
}

export function placesOf(blobs: BlobStore, tenantId: string, storageClass: StorageClass): Places {
  const own = blobs.own(tenantId);
  return storageClass === "separate" ? { right: own, other: blobs } : { right: blobs, other: own };
}

/** Copies a blob into its right place, synced and with its hash compared; false where it is nowhere. */
export async function bringOver({ right, other }: Places, sha256: string): Promise<boolean> {
  if (await right.has(sha256)) return true;
  const stat = await other.stat(sha256);
  if (!stat) return false;
  const options = { maxBytes: stat.sizeBytes, expectedSha256: sha256 };
  await right.put(await other.open(sha256), options);
  return true;
}

class TenantBlobs implements BlobPlace {
  readonly #right: BlobPlace;
  readonly #other: BlobPlace;

  constructor({ right, other }: Places) {
    this.#right = right;
    this.#other = other;
  }

  temporaryPath(): Promise<string> {
    return this.#right.temporaryPath();
  }

  put(content: AsyncIterable<Uint8Array>, options: PutOptions): Promise<BlobStat> {
    return this.#right.put(content, options);
  }

  async adopt(stagingId: string, stat: BlobStat, state: string | null): Promise<void> {
    try {
      await this.#right.adopt(stagingId, stat, state);
    } catch (error) {
      // An earlier attempt, before the class changed, got as far as the other place.
      const isThere = isAppError(error, "upload-gone") && (await this.#other.has(stat.sha256));
      if (!isThere) throw error;
    }
  }

  async stat(sha256: string): Promise<BlobStat | undefined> {
    return (await this.#right.stat(sha256)) ?? this.#other.stat(sha256);
  }

  async has(sha256: string): Promise<boolean> {
    return (await this.stat(sha256)) !== undefined;
  }

  open(sha256: string, range?: { start: number; end: number }): Promise<Readable> {
    return this.#from((place) => place.open(sha256, range));
  }

  openShared(sha256: string, range?: { start: number; end: number }): Promise<Readable> {
    return this.#from((place) => place.openShared(sha256, range));
  }

  async localPath(sha256: string): Promise<string> {
    return (await this.#placeOf(sha256)).localPath(sha256);
  }

  async presignedUrl(sha256: string): Promise<string | undefined> {
    return (await this.#placeOf(sha256)).presignedUrl(sha256);
  }

  async delete(sha256: string): Promise<void> {
    await this.#right.delete(sha256);
  }

  list() {
    return this.#right.list();
  }

  async #placeOf(sha256: string): Promise<BlobPlace> {
    const isElsewhere = !(await this.#right.has(sha256)) && (await this.#other.has(sha256));
    return isElsewhere ? this.#other : this.#right;
  }

  async #from<T>(read: (place: BlobPlace) => Promise<T>): Promise<T> {
    try {
      return await read(this.#right);
    } catch (error) {
      if (!isAppError(error, "not-found")) throw error;
      return read(this.#other);
    }
  }
}
