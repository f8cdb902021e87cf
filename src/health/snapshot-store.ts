import type { Database } from "../db/index.ts";

/** A value of PostgreSQL may be a gigabyte; pieces of this size are no burden to it. */
const PART_BYTES = 4 * 1024 * 1024;

/** Where the detectors' knowledge of a tenant outlives their process. */
export interface SnapshotStore {
  load(tenantId: string): Promise<Buffer | undefined>;
  save(tenantId: string, bytes: Buffer, now: Date): Promise<void>;
}

export function createSnapshotStore(db: Database): SnapshotStore {
  return {
    load: (tenantId) =>
      db.tenant(tenantId, async (tx) => {
        const rows = await tx
          .selectFrom("detector_snapshots")
          .select("data")
          .where("tenant_id", "=", tenantId)
          .orderBy("part")
          .execute();
        return rows.length === 0 ? undefined : Buffer.concat(rows.map((row) => row.data));
      }),

    save: (tenantId, bytes, now) =>
      db.tenant(tenantId, async (tx) => {
        await tx.deleteFrom("detector_snapshots").where("tenant_id", "=", tenantId).execute();
        for (let part = 0; part * PART_BYTES < bytes.length; part += 1) {
          const data = bytes.subarray(part * PART_BYTES, (part + 1) * PART_BYTES);
          await tx
            .insertInto("detector_snapshots")
            .values({ tenant_id: tenantId, part, data, saved_at: now })
            .execute();
        }
      }),
  };
}
