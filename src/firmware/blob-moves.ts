import { AppError } from "../kernel/index.ts";
import type { StorageClass } from "../tenancy/index.ts";
import * as store from "./collection-store.ts";
import type { FirmwareDeps } from "./deps.ts";
import { bringOver, placesOf } from "./tenant-blobs.ts";
import { bringUploads, leaveOldUploads } from "./upload-moves.ts";

type MoveDeps = Pick<FirmwareDeps, "db" | "clock" | "blobs" | "logger">;

/**
 * Copies the tenant's blobs to where `to` has them, synced and with their hashes compared. Whoever is stopped
 * in between begins anew, with what is not there yet. The class must have changed so long ago that nobody
 * writes by the old one. `goOn` is asked before each, and ends it by throwing. A blob that is in neither place
 * was not there before either: it is counted, logged and holds up nothing.
 */
export async function copyBlobs(
  deps: MoveDeps,
  tenantId: string,
  to: StorageClass,
  goOn: () => Promise<void> = async () => {},
): Promise<{ there: number; missing: number }> {
  const { db, blobs, logger } = deps;
  await bringUploads(deps, tenantId, to, goOn);
  const places = placesOf(blobs, tenantId, to);
  const counts = { there: 0, missing: 0 };
  for (const sha256 of await db.tenant(tenantId, (tx) => store.blobsOfTenant(tx, tenantId))) {
    await goOn();
    if (await bringOver(places, sha256)) counts.there += 1;
    else counts.missing += 1;
  }
  const { missing } = counts;
  if (missing > 0) logger.warn({ tenantId, missing }, "blobs of a tenant are nowhere");
  return counts;
}

/**
 * Removes a blob from among those that tenants share, where none of them but `leftOut` has it: whether it
 * is gone. What tenants whose blobs lie apart have of it is in their places first.
 */
export async function removeShared(
  { db, blobs }: Pick<MoveDeps, "db" | "blobs">,
  sha256: string,
  leftOut = "",
): Promise<boolean> {
  const owners = await db.platform((tx) => store.separateOwners(tx, sha256));
  for (const owner of owners) await bringOver(placesOf(blobs, owner, "separate"), sha256);
  return db.platform(async (tx) => {
    await store.holdBlob(tx, sha256);
    // Again, with the lock: a release may have been published meanwhile.
    if ((await store.sharedBlobs(tx, [sha256], leftOut)).size > 0) return false;
    for (const owner of await store.separateOwners(tx, sha256)) {
      if (!(await blobs.own(owner).has(sha256))) return false;
    }
    await blobs.delete(sha256);
    return true;
  });
}

/**
 * Removes the tenant's blobs where they were, each only once it is in the other place, and of those that tenants
 * share what nobody else has. Idempotent.
 */
export async function leaveOldPlace(
  deps: MoveDeps,
  tenantId: string,
  to: StorageClass,
): Promise<{ removed: number }> {
  const { db, blobs, logger } = deps;
  // The old place ends with what lies in it: whoever writes there is waited for.
  const busy = await bringUploads(deps, tenantId, to);
  if (busy > 0) throw new AppError("upload-locked", `${busy} uploads are being written to`);
  await leaveOldUploads(deps, tenantId, to);
  const { right, other } = placesOf(blobs, tenantId, to);
  let removed = 0;
  for (const sha256 of await db.tenant(tenantId, (tx) => store.blobsOfTenant(tx, tenantId))) {
    if (!(await other.has(sha256))) continue;
    if (!(await right.has(sha256))) throw new Error("a blob has not arrived");
    if (to === "shared") await other.delete(sha256);
    else if (!(await removeShared(deps, sha256, tenantId))) continue;
    removed += 1;
  }
  // What else lies there nothing refers to.
  if (to === "shared") await blobs.own(tenantId).drop();
  logger.info({ tenantId, removed, storageClass: to }, "blobs of a tenant were moved");
  return { removed };
}
