import type { Clock } from "../kernel/index.ts";
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
      "list" | "tellKeptApart" | "moving" | "progressMove" | "endMove"
    >;
    settings(tenantId: string): Promise<{ logRetentionDays: number }>;
    retention: Pick<Retention, "policy">;
  };
  timeseries: {
    forget(
      tenantId: string,
      forgetting: { policy: RetentionPolicy; logDays: number; now: number },
    ): Promise<string[]>;
    moveTenant(
      tenantId: string,
      to: "shared" | "separate",
      progressed: (progress: { done: number; of: number }) => Promise<void>,
    ): Promise<boolean>;
  };
}

const EVERY_MS = 3_600_000;
/** An insert that began before the class changed has ended by then. */
const MOVE_AFTER_MS = 90_000;
const NEAR_END_MS = 3_600_000;

/** Brings the rows of tenants whose storage class has changed to where they belong. */
export function moveJob({ clock, logger, tenancy, timeseries }: RetentionJobsDeps): Job {
  const { tenants } = tenancy;
  async function move({ id, storageClass, storageMove, deletesAt }: Tenant): Promise<void> {
    if (!storageMove) return;
    // What is copied while it is removed elsewhere would be left of a tenant that is gone.
    if (deletesAt && deletesAt.getTime() - clock.now() < NEAR_END_MS) return;
    if (clock.now() - storageMove.since.getTime() < MOVE_AFTER_MS) return;
    const progressed = (progress: { done: number; of: number }) =>
      tenants.progressMove(id, progress);
    if (!(await timeseries.moveTenant(id, storageClass, progressed))) return;
    await tenants.endMove(id, SYSTEM_ACTOR);
    logger.info({ tenantId: id, storageClass }, "a tenant's rows are where they belong");
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
export function retentionJob({ clock, logger, tenancy, timeseries }: RetentionJobsDeps): Job {
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
