import type { Readable } from "node:stream";
import type {
  BlobPlace,
  BlobStat,
  BlobStore,
  PutOptions,
  Staged,
  Staging,
} from "../blobs/index.ts";
import { isAppError } from "../kernel/index.ts";
import type { StorageClass } from "../tenancy/index.ts";
import type { FirmwareDeps } from "./deps.ts";

/**
 * The blobs of a tenant, for one request or one piece of work: written where its storage class has them, and read from there or, while they
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

/** Where the bytes of an upload lie, by what its row says: its place is not always the class's. */
export function stagingOf(
  blobs: BlobStore,
  { tenant_id, place }: { tenant_id: string; place: string },
): Staging {
  return place === "separate" ? blobs.own(tenant_id).staging : blobs.staging;
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
  /** Looked for once: for a store far away each look is a request. */
  readonly #found = new Map<string, BlobPlace>();

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

  get staging(): Staging {
    return this.#right.staging;
  }

  async adopt(staged: Staged, stat: BlobStat): Promise<void> {
    try {
      await this.#right.adopt(staged, stat);
    } catch (error) {
      // An earlier attempt, before the class changed, got as far as the other place.
      const isThere = isAppError(error, "upload-gone") && (await this.#other.has(stat.sha256));
      if (!isThere) throw error;
    }
  }

  async stat(sha256: string): Promise<BlobStat | undefined> {
    for (const place of [this.#right, this.#other]) {
      const stat = await place.stat(sha256);
      if (!stat) continue;
      this.#found.set(sha256, place);
      return stat;
    }
    return undefined;
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
    if (!this.#found.has(sha256)) await this.stat(sha256);
    return this.#found.get(sha256) ?? this.#right;
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
