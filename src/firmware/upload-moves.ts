import { isAppError } from "../kernel/index.ts";
import type { StorageClass } from "../tenancy/index.ts";
import type { FirmwareDeps } from "./deps.ts";
import { stagingOf } from "./tenant-blobs.ts";
import { whileHeld } from "./upload-writer.ts";
import { uploadsElsewhere, uploadsIn } from "./uploads-store.ts";

/** What is copied before it is synced: for a store of objects a piece of the upload. */
const PIECE_BYTES = 8 * 1024 ** 2;

/**
 * Brings what has come of the tenant's uploads to where `to` has it, one after the other and each as its one
 * writer; resolves with how many somebody else is writing to, which stay where they are for now. `goOn` is
 * asked before each, and ends it by throwing.
 */
export async function bringUploads(
  deps: Pick<FirmwareDeps, "db" | "clock" | "blobs">,
  tenantId: string,
  to: StorageClass,
  goOn: () => Promise<void> = async () => {},
): Promise<number> {
  let busy = 0;
  const ids = await deps.db.tenant(tenantId, (tx) => uploadsElsewhere(tx, tenantId, to));
  for (const id of ids) {
    await goOn();
    try {
      await bringUpload(deps, tenantId, id, to);
    } catch (error) {
      if (isAppError(error, "upload-locked")) busy += 1;
      // Ended meanwhile.
      else if (!isAppError(error, "not-found")) throw error;
    }
  }
  return busy;
}

/** Removes what a process that was killed has left of them where they were, once all are in `to`. */
export async function leaveOldUploads(
  deps: Pick<FirmwareDeps, "db" | "blobs">,
  tenantId: string,
  to: StorageClass,
): Promise<void> {
  const other = to === "separate" ? "shared" : "separate";
  const staging = stagingOf(deps.blobs, { tenant_id: tenantId, place: other });
  const ids = await deps.db.tenant(tenantId, (tx) => uploadsIn(tx, tenantId, to));
  for (const id of ids) await staging.remove(id);
}

function bringUpload(
  deps: Pick<FirmwareDeps, "db" | "clock" | "blobs">,
  tenantId: string,
  id: string,
  to: StorageClass,
): Promise<void> {
  return whileHeld(deps, tenantId, id, async ({ row, change }) => {
    if (row.place === to || row.status === "complete") return;
    const [source, target] = [
      stagingOf(deps.blobs, row),
      stagingOf(deps.blobs, { ...row, place: to }),
    ];
    const writer = await target.writer(id, 0, null);
    let state: string | null = null;
    try {
      let unsynced = 0;
      for await (const chunk of source.read(id, row.offset_bytes, row.staging_state)) {
        await writer.write(chunk);
        unsynced += chunk.length;
        if (unsynced < PIECE_BYTES) continue;
        await writer.sync();
        unsynced = 0;
      }
      state = await writer.sync();
    } catch (error) {
      // Refused to whoever has taken too long: what lies there is somebody else's by now, and whole.
      await change({ place: row.place });
      await target.remove(id);
      // It is a blob already, and whoever made it one could not say so any more.
      if (!isMissing(error)) throw error;
      return;
    } finally {
      await writer.close();
    }
    await change({ place: to, staging_state: state });
    await source.remove(id);
  });
}

function isMissing(error: unknown): boolean {
  return (
    isAppError(error, "upload-gone") || (error as NodeJS.ErrnoException | null)?.code === "ENOENT"
  );
}
