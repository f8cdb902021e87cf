import type { Staging } from "../blobs/index.ts";
import type { Tx } from "../db/index.ts";
import { AppError, isUuid } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { type StorageClass, SYSTEM_ACTOR } from "../tenancy/index.ts";
import { copyBlobs, leaveOldPlace, removeShared } from "./blob-moves.ts";
import * as store from "./collection-store.ts";
import type { FirmwareDeps } from "./deps.ts";
import { type ArtifactRow, insertArtifact } from "./releases-store.ts";
import { bringOver, placesOf } from "./tenant-blobs.ts";

/** Throws away what nothing refers to any more. */
export interface Collection {
  /** The tenant's artifacts without a release or a delta; how many. */
  collectArtifacts(tenantId: string): Promise<number>;
  /** Those of the blobs that no tenant has (any more), at once. */
  collectOf(
    batch: readonly { sha256: string; sizeBytes: number }[],
  ): Promise<{ count: number; sizeBytes: number }>;
  /** What lies in a place that is the tenant's alone. */
  ownOf(tenantId: string): Promise<{ count: number; sizeBytes: number }>;
  /** Removes that place. */
  dropOwn(tenantId: string): Promise<void>;
  /** See blob-moves.ts. */
  copyBlobs(
    tenantId: string,
    to: StorageClass,
    goOn?: () => Promise<void>,
  ): Promise<{ there: number; missing: number }>;
  leaveOldPlace(tenantId: string, to: StorageClass): Promise<{ removed: number }>;
  /** Blobs that no tenant has, and bytes of uploads that nobody knows. */
  collectBlobs(): Promise<{ blobs: number; sizeBytes: number; uploads: number }>;
}

/** So long after it was made or stored, what nothing refers to may still be on its way to it. */
export const COLLECTION_GRACE_MS = 24 * 3_600_000;
const BATCH = 500;

const collectedBlobs = counter("vautn_collected_blobs_total", "Blobs that were thrown away");
const collectedBytes = counter("vautn_collected_bytes_total", "Bytes of blobs thrown away");

export function createCollection(deps: FirmwareDeps): Collection {
  const { db, clock, blobs } = deps;

  /** Deletes those of a batch that nothing refers to, each with its lock held. */
  async function collect(batch: readonly { sha256: string; sizeBytes: number }[]) {
    const hashes = batch.map((blob) => blob.sha256);
    const referenced = await db.platform((tx) => store.sharedBlobs(tx, hashes));
    let count = 0;
    let sizeBytes = 0;
    for (const blob of batch) {
      if (referenced.has(blob.sha256)) continue;
      if (!(await removeShared(deps, blob.sha256))) continue;
      count += 1;
      sizeBytes += blob.sizeBytes;
    }
    collectedBlobs.inc(count);
    collectedBytes.inc(sizeBytes);
    return { count, sizeBytes };
  }

  /** The same in a tenant's own place; of one whose blobs lie with the others' by now, all that is there too. */
  async function collectOwn(tenantId: string, before: number) {
    const own = blobs.own(tenantId);
    const total = { count: 0, sizeBytes: 0 };
    const [referenced, storageClass] = await db.tenant(tenantId, async (tx) => [
      await store.blobsOfTenant(tx, tenantId),
      await store.storageClassOf(tx, tenantId),
    ]);
    for await (const { sha256, sizeBytes, createdAt } of own.list()) {
      if (createdAt > before || (storageClass === "separate" && referenced.has(sha256))) continue;
      const isGone = await db.tenant(tenantId, async (tx) => {
        await store.holdBlob(tx, sha256);
        // Again, with the lock.
        const isNeeded = (await store.blobsOfTenant(tx, tenantId, [sha256])).size > 0;
        const isShared = (await store.storageClassOf(tx, tenantId)) === "shared";
        if (isNeeded && !(isShared && (await blobs.has(sha256)))) return false;
        await own.delete(sha256);
        return true;
      });
      if (!isGone) continue;
      total.count += 1;
      total.sizeBytes += sizeBytes;
    }
    collectedBlobs.inc(total.count);
    collectedBytes.inc(total.sizeBytes);
    return total;
  }

  async function collectStaged(staging: Staging, before: number): Promise<number> {
    const staged = (await staging.list()).filter(
      ({ id, changedAt }) => isUuid(id) && changedAt <= before,
    );
    let count = 0;
    for (let start = 0; start < staged.length; start += BATCH) {
      const ids = staged.slice(start, start + BATCH).map(({ id }) => id);
      const known = await db.platform((tx) => store.knownUploads(tx, ids));
      for (const id of ids.filter((one) => !known.has(one))) {
        await staging.remove(id);
        count += 1;
      }
    }
    return count;
  }

  return {
    collectOf: collect,

    async collectArtifacts(tenantId) {
      const before = new Date(clock.now() - COLLECTION_GRACE_MS);
      return db.tenant(tenantId, async (tx) => {
        const hashes = await store.deleteUnusedArtifacts(tx, tenantId, before);
        await deps.tenancy.audit.recordAll(
          tx,
          tenantId,
          hashes.map((sha256) => ({
            actor: SYSTEM_ACTOR,
            action: "artifact.collect",
            targetKind: "artifact",
            targetId: sha256,
            outcome: "done" as const,
          })),
        );
        return hashes.length;
      });
    },

    async collectBlobs() {
      const before = clock.now() - COLLECTION_GRACE_MS;
      const total = { blobs: 0, sizeBytes: 0, uploads: 0 };
      total.uploads += await collectStaged(blobs.staging, before);
      let batch: { sha256: string; sizeBytes: number }[] = [];
      const flush = async () => {
        const { count, sizeBytes } = await collect(batch);
        total.blobs += count;
        total.sizeBytes += sizeBytes;
        batch = [];
      };
      for await (const { sha256, sizeBytes, createdAt } of blobs.list()) {
        if (createdAt > before) continue;
        batch.push({ sha256, sizeBytes });
        if (batch.length >= BATCH) await flush();
      }
      if (batch.length > 0) await flush();
      for (const tenantId of await blobs.owners()) {
        const { count, sizeBytes } = await collectOwn(tenantId, before);
        total.uploads += await collectStaged(blobs.own(tenantId).staging, before);
        total.blobs += count;
        total.sizeBytes += sizeBytes;
      }
      return total;
    },

    async ownOf(tenantId) {
      const total = { count: 0, sizeBytes: 0 };
      for await (const { sizeBytes } of blobs.own(tenantId).list()) {
        total.count += 1;
        total.sizeBytes += sizeBytes;
      }
      return total;
    },

    dropOwn: (tenantId) => blobs.own(tenantId).drop(),
    copyBlobs: (tenantId, to, goOn) => copyBlobs(deps, tenantId, to, goOn),
    leaveOldPlace: (tenantId, to) => leaveOldPlace(deps, tenantId, to),
  };
}

/** Lets the tenant have an artifact, of which the content is there and stays there. */
export async function addArtifact(
  deps: Pick<FirmwareDeps, "blobs">,
  tx: Tx,
  row: ArtifactRow,
): Promise<void> {
  await keepBlob(deps, tx, row.tenant_id, row.sha256);
  await insertArtifact(tx, row);
}

/** To be called by every transaction that begins to refer to a blob, before it does. */
export async function keepBlob(
  { blobs }: Pick<FirmwareDeps, "blobs">,
  tx: Tx,
  tenantId: string,
  sha256: string,
): Promise<void> {
  await store.holdBlob(tx, sha256);
  // Stored before the tenant's class changed, it is brought to where it belongs since.
  const places = placesOf(blobs, tenantId, await store.storageClassOf(tx, tenantId));
  if (await bringOver(places, sha256)) return;
  // Collected in the moment between being stored and being referred to.
  throw new AppError("unavailable", "the content is not there any more: send it again");
}
