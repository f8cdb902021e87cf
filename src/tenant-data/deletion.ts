import type { BlobStore } from "../blobs/index.ts";
import type { Database } from "../db/index.ts";
import { AppError, type Clock, isAppError } from "../kernel/index.ts";
import { withSpan } from "../kernel/tracing.ts";
import type { Envelope } from "../protocol/index.ts";
import { type Actor, PLATFORM_CHAIN, SYSTEM_ACTOR, type Tenancy } from "../tenancy/index.ts";
import type { Timeseries } from "../timeseries/index.ts";
import * as store from "./tenant-data-store.ts";

export interface DeletionDeps {
  db: Database;
  clock: Clock;
  blobs: Pick<BlobStore, "staging">;
  timeseries: Pick<Timeseries, "deleteTenant" | "countTenant">;
  tenancy: Pick<Tenancy, "tenants" | "audit">;
  firmware: {
    collection: {
      collectOf(
        blobs: readonly { sha256: string; sizeBytes: number }[],
      ): Promise<{ count: number; sizeBytes: number }>;
      /** What lies in a place that is the tenant's alone, and the end of that place. */
      ownOf(tenantId: string): Promise<{ count: number; sizeBytes: number }>;
      dropOwn(tenantId: string): Promise<void>;
    };
  };
  auditCheckpoints: { signDocument<T extends object>(signed: T): Promise<Envelope<T>> };
}

/** What was there of a tenant, and that nothing of it is. */
export interface DeletionReceipt {
  _type: "tenant-deletion";
  tenant: string;
  deletedAt: string;
  /** Rows by table, bytes and blobs, before. */
  removed: {
    postgresql: Record<string, number>;
    clickhouse: Record<string, number>;
    blobs: { count: number; sizeBytes: number; sharedWithOthers: number };
    uploads: number;
  };
  /** Counted anew afterwards: all of it 0 but for what is kept. */
  left: {
    postgresql: Record<string, number>;
    clickhouse: Record<string, number>;
    /** Files in a place that was the tenant's alone. */
    ownBlobs: number;
  };
  kept: Record<string, string>;
}

/** From the suspension to the deletion: every process has ended the connections of the devices. */
const SETTLING_MS = 30_000;
const MAX_GRACE_HOURS = 8_760;
const BATCH = 20;
/** A gateway that comes back later than this has more to answer for than some rows. */
const SWEPT_FOR_MS = 90 * 86_400_000;
const MAX_SWEPT = 100;

const KEPT = {
  audit_heads: "the last number and hash of its audit log: the id is never used twice",
  certificate_authorities: "public certificates, revoked, without keys: for the revocation list",
};

/**
 * Suspends the tenant, so that its devices' connections end, and has it deleted when the grace is over.
 * Until then `restore` undoes it.
 */
export async function scheduleDeletion(
  { db, clock, tenancy }: DeletionDeps,
  tenantId: string,
  request: { confirm: string; graceHours: number },
  actor: Actor,
): Promise<{ deletesAt: Date }> {
  if (request.confirm !== tenantId) {
    throw new AppError("invalid-content", "name the tenant once more to delete it", {
      errors: [{ field: "confirm", message: "is not the tenant's id" }],
    });
  }
  const graceMs = Math.min(MAX_GRACE_HOURS, request.graceHours) * 3_600_000;
  const deletesAt = new Date(clock.now() + Math.max(SETTLING_MS, graceMs));
  await tenancy.tenants.setStatus(tenantId, "suspended", actor);
  await db.platform(async (tx) => {
    await store.setDeletion(tx, tenantId, deletesAt);
    const details = { deletesAt: deletesAt.toISOString() };
    const entry = { ...entryOf(actor, "tenant.schedule-deletion", tenantId), details };
    await tenancy.audit.record(tx, tenantId, entry);
    await tenancy.audit.record(tx, PLATFORM_CHAIN, entry);
  });
  return { deletesAt };
}

export async function restore(
  { db, tenancy }: DeletionDeps,
  tenantId: string,
  actor: Actor,
): Promise<void> {
  await db.platform(async (tx) => {
    const state = await store.lockTenant(tx, tenantId);
    if (!state) throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
    if (!state.deletes_at) {
      throw new AppError("conflict", "this tenant is not about to be deleted");
    }
    if (await store.deletionUnderWay(tx, tenantId)) {
      throw new AppError("conflict", "its deletion is under way: it cannot be restored any more");
    }
    await store.setDeletion(tx, tenantId, null);
    const entry = entryOf(actor, "tenant.restore", tenantId);
    await tenancy.audit.record(tx, tenantId, entry);
    await tenancy.audit.record(tx, PLATFORM_CHAIN, entry);
  });
  await tenancy.tenants.setStatus(tenantId, "active", actor);
}

/** Deletes the tenants whose time has come; how many it looked at. One that fails is tried again. */
export async function deleteDue(deps: DeletionDeps): Promise<number> {
  const now = new Date(deps.clock.now());
  const due = await deps.db.platform(async (tx) => [
    ...(await store.deletionsUnderWay(tx, BATCH)),
    ...(await store.dueDeletions(tx, now, BATCH)),
  ]);
  const tenants = new Set(due);
  for (const tenantId of tenants) {
    await withSpan("tenant.delete", {}, () => deleteNow(deps, tenantId));
  }
  return tenants.size;
}

/**
 * Empties every store of what is the tenant's, counts anew, and signs what it found. What was there is
 * written down first, and each step may be done again: where a process dies in the middle, the next one
 * goes on, and the receipt tells of what the first one found.
 */
async function deleteNow(deps: DeletionDeps, tenantId: string): Promise<void> {
  const { db, clock, timeseries, tenancy } = deps;
  const found = await begin(deps, tenantId);
  if (!found) return;
  const { postgresql, clickhouse, artifacts, uploads } = found;
  await timeseries.deleteTenant(tenantId);
  for (const id of uploads) await deps.blobs.staging.remove(id);
  // With the row go the rights of its people and keys, and then its authorities.
  await tenancy.tenants.delete(tenantId, SYSTEM_ACTOR).catch((error) => {
    // Gone already: somebody died after it.
    if (!isAppError(error) || error.code !== "not-found") throw error;
  });
  await db.platform((tx) => store.purgeTenant(tx, tenantId));
  const { collection } = deps.firmware;
  await collection.dropOwn(tenantId);
  const shared = await collection.collectOf(artifacts);
  // What was on its way when the first deletion ran.
  await timeseries.deleteTenant(tenantId);
  const receipt: DeletionReceipt = {
    _type: "tenant-deletion",
    tenant: tenantId,
    deletedAt: new Date(clock.now()).toISOString(),
    removed: {
      postgresql: nonZero(postgresql),
      clickhouse: nonZero(clickhouse),
      blobs: blobsOf(found, shared),
      uploads: uploads.length,
    },
    left: {
      postgresql: nonZero(await db.platform((tx) => store.countTenant(tx, tenantId))),
      clickhouse: nonZero(await timeseries.countTenant(tenantId)),
      ownBlobs: (await collection.ownOf(tenantId)).count,
    },
    kept: KEPT,
  };
  const envelope = await deps.auditCheckpoints.signDocument(receipt);
  await db.platform(async (tx) => {
    const isOurs = await store.endDeletion(tx, tenantId, new Date(clock.now()), envelope);
    if (!isOurs) return;
    const details = { receipt: envelope.signatures[0]?.sig ?? "" };
    const entry = { ...entryOf(SYSTEM_ACTOR, "tenant.purge", tenantId), details };
    await tenancy.audit.record(tx, PLATFORM_CHAIN, entry);
  });
}

/**
 * Writes down what is there, unless somebody has done so before. Undefined where the tenant has been
 * restored since it was found due: from here on it cannot be.
 */
async function begin(deps: DeletionDeps, tenantId: string): Promise<store.FoundData | undefined> {
  const { db, clock, timeseries } = deps;
  const known = await db.platform((tx) => store.deletionUnderWay(tx, tenantId));
  if (known) return known;
  const found = {
    postgresql: await db.platform((tx) => store.countTenant(tx, tenantId)),
    clickhouse: await timeseries.countTenant(tenantId),
    ...(await db.tenant(tenantId, store.tenantBlobs)),
    ownBlobs: await deps.firmware.collection.ownOf(tenantId),
  };
  return db.platform(async (tx) => {
    const now = new Date(clock.now());
    const state = await store.lockTenant(tx, tenantId);
    if (!state?.deletes_at || state.deletes_at > now) return undefined;
    // What is copied elsewhere while it is removed here would be left: the move stops at its next step.
    if (state.busyUntil !== null && new Date(state.busyUntil) > now) return undefined;
    await store.beginDeletion(tx, tenantId, now, found);
    return store.deletionUnderWay(tx, tenantId);
  });
}

/**
 * What the journal of a gateway that was stopped brings of a tenant that is gone: written when the
 * gateway starts again, and removed here. How many rows it was is in the platform's audit log.
 */
export async function sweepGone(deps: DeletionDeps): Promise<number> {
  const { db, clock, timeseries, tenancy } = deps;
  const since = new Date(clock.now() - SWEPT_FOR_MS);
  const gone = await db.platform((tx) => store.deletedSince(tx, since, MAX_SWEPT));
  let swept = 0;
  for (const tenantId of gone) {
    const rows = nonZero(await timeseries.countTenant(tenantId));
    if (Object.keys(rows).length === 0) continue;
    await timeseries.deleteTenant(tenantId);
    const entry = { ...entryOf(SYSTEM_ACTOR, "tenant.purge-late", tenantId), details: { rows } };
    await db.platform((tx) => tenancy.audit.record(tx, PLATFORM_CHAIN, entry));
    swept += 1;
  }
  return swept;
}

export async function receiptOf(
  { db }: Pick<DeletionDeps, "db">,
  tenantId: string,
): Promise<Envelope<DeletionReceipt>> {
  const receipt = await db.platform((tx) => store.findReceipt(tx, tenantId));
  if (!receipt) throw new AppError("not-found", "no tenant of this id was deleted");
  return receipt as Envelope<DeletionReceipt>;
}

/** In the middle of a move a file was in both places, and is counted once. */
function blobsOf(
  { artifacts, ownBlobs: own = { count: 0, sizeBytes: 0 } }: store.FoundData,
  shared: { count: number; sizeBytes: number },
): DeletionReceipt["removed"]["blobs"] {
  const removed = own.count >= shared.count ? own : shared;
  return { ...removed, sharedWithOthers: Math.max(0, artifacts.length - removed.count) };
}

function nonZero(counts: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

function entryOf(actor: Actor, action: string, tenantId: string) {
  return { actor, action, targetKind: "tenant", targetId: tenantId, outcome: "done" as const };
}
