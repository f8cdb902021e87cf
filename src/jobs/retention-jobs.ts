import type { Collection } from "../firmware/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import type { RetentionPolicy } from "../protocol/index.ts";
import { type Retention, SYSTEM_ACTOR, type Tenancy, type Tenant } from "../tenancy/index.ts";
import type { Job } from "./ticker.ts";

export interface RetentionJobsDeps {
  clock: Clock;
  logger: Logger;
  tenancy: {
    tenants: Pick<
      Tenancy["tenants"],
      "list" | "tellKeptApart" | "moving" | "progressMove" | "endCopy" | "restMove" | "endMove"
    >;
    settings(tenantId: string): Promise<{ logRetentionDays: number }>;
    retention: Pick<Retention, "policy">;
  };
  firmware: { collection: Pick<Collection, "copyBlobs" | "leaveOldPlace"> };
  timeseries: {
    forget(
      tenantId: string,
      forgetting: { policy: RetentionPolicy; logDays: number; now: number },
    ): Promise<string[]>;
    copyTenant(
      tenantId: string,
      to: "shared" | "separate",
      progressed: (progress: { done: number; of: number }) => Promise<void>,
    ): Promise<boolean>;
    leaveOldPlace(tenantId: string, to: "shared" | "separate"): Promise<void>;
  };
}

const EVERY_MS = 3_600_000;
/** An insert that began before the class changed has ended by then. */
const MOVE_AFTER_MS = 90_000;
/** Every process has looked at the tenant again by then (`Tenancy.readPlace`). */
const READERS_KNOW_MS = 10_000;
const BEAT_MS = 30_000;

/** Brings the rows and blobs of tenants whose storage class has changed to where they belong. */
export function moveJob(deps: RetentionJobsDeps): Job {
  const { clock, logger, tenancy, timeseries, firmware } = deps;
  const { tenants } = tenancy;

  async function goOn(id: string, progress?: { done: number; of: number }): Promise<void> {
    if (await tenants.progressMove(id, progress)) return;
    throw new AppError("conflict", "the tenant is about to be deleted: nothing of it is moved");
  }

  /** Whether all of it is there as well. */
  async function copy({ id, storageClass }: Tenant): Promise<boolean> {
    const progressed = (progress: { done: number; of: number }) => goOn(id, progress);
    if (!(await timeseries.copyTenant(id, storageClass, progressed))) return false;
    await firmware.collection.copyBlobs(id, storageClass, () => goOn(id));
    return true;
  }

  async function leave(tenant: Tenant): Promise<void> {
    const { id, storageClass } = tenant;
    try {
      await timeseries.leaveOldPlace(id, storageClass);
      await firmware.collection.leaveOldPlace(id, storageClass);
    } catch (error) {
      // What has come to the old place meanwhile. Readers look at the new one by now, and stay there.
      await copy(tenant);
      throw error;
    }
  }

  async function move(tenant: Tenant): Promise<void> {
    const { id, storageClass, storageMove } = tenant;
    if (!storageMove) return;
    const beganMs = clock.now() - storageMove.since.getTime();
    const copiedMs = storageMove.copiedAt && clock.now() - storageMove.copiedAt.getTime();
    if (beganMs < MOVE_AFTER_MS || (copiedMs !== null && copiedMs < READERS_KNOW_MS)) return;
    // False in the last hour of a tenant.
    if (!(await tenants.progressMove(id))) return;
    const beat = setInterval(() => void tenants.progressMove(id).catch(() => {}), BEAT_MS);
    try {
      if (copiedMs === null) {
        if (await copy(tenant)) await tenants.endCopy(id);
        return;
      }
      await leave(tenant);
    } finally {
      clearInterval(beat);
      await tenants.restMove(id);
    }
    await tenants.endMove(id, SYSTEM_ACTOR);
    logger.info({ tenantId: id, storageClass }, "what a tenant has is where it belongs");
  }
  return {
    name: "storage-moves",
    everyMs: 10_000,
    async run() {
      const errors: unknown[] = [];
      for (const tenant of await tenants.moving()) {
        // One that cannot be moved holds up no other.
        await move(tenant).catch((error: unknown) => {
          logger.warn({ tenantId: tenant.id, err: error }, "a tenant's rows could not be moved");
          errors.push(error);
        });
      }
      if (errors.length > 0) throw new AggregateError(errors, `${errors.length} tenants`);
    },
  };
}

/** Removes what tenants do not keep any longer; reads leave it out from the moment on already. */
export function retentionJob(deps: Omit<RetentionJobsDeps, "firmware">): Job {
  const { clock, logger, tenancy, timeseries } = deps;
  /** What each tenant kept in the round before: what has changed since waits for the next one, so
   * that every gateway refuses points of a time whose buckets are not there any more. */
  let before = new Map<string, string>();
  return {
    name: "retention",
    everyMs: EVERY_MS,
    async run() {
      await tenancy.tenants.tellKeptApart();
      const seen = new Map<string, string>();
      for (const { id } of await tenancy.tenants.list()) {
        const { logRetentionDays: logDays } = await tenancy.settings(id);
        const policy = await tenancy.retention.policy(id);
        const kept = JSON.stringify(policy);
        seen.set(id, kept);
        if ((before.get(id) ?? kept) !== kept) continue;
        const tables = await timeseries.forget(id, { policy, logDays, now: clock.now() });
        if (tables.length > 0) logger.info({ tenantId: id, tables }, "old rows were removed");
      }
      before = seen;
    },
  };
}
