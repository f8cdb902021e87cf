import { sql } from "kysely";
import type { Database, Tx } from "../db/index.ts";

/** Workers that are looked at; a cluster of more is divided among these. */
const MAX_WORKERS = 1_000;
/** What has not been seen for so long leaves no row behind. */
const FORGOTTEN_MS = 24 * 3_600_000;

/** Which worker follows which tenant's telemetry: one at a time. */
export interface WatchLeases {
  /** Says that a worker lives, and names all that were seen since `since`, itself included. */
  attend(name: string, now: Date, since: Date): Promise<string[]>;
  /** Takes or renews; of `tenantIds` those that nobody else holds. */
  take(name: string, tenantIds: readonly string[], now: Date, until: Date): Promise<string[]>;
  /** Gives back what it holds of these. */
  release(name: string, tenantIds: readonly string[]): Promise<void>;
  /** Gives back everything: the others go on at once. */
  leave(name: string): Promise<void>;
}

export function createWatchLeases(db: Database): WatchLeases {
  return {
    attend: (name, now, since) => db.platform((tx) => attend(tx, name, now, since)),

    take: (name, tenantIds, now, until) =>
      db.platform(async (tx) => {
        // In one order: two workers that want the same do not wait for each other.
        const { rows } = await sql<{ tenant: string }>`
          insert into detector_leases (tenant_id, holder, until)
          select id, ${name}, ${until} from tenants where id = any(${[...tenantIds]}) order by id
          on conflict (tenant_id) do update set holder = excluded.holder, until = excluded.until
            where detector_leases.holder = excluded.holder or detector_leases.until <= ${now}
          returning tenant_id as tenant`.execute(tx);
        return rows.map(({ tenant }) => tenant);
      }),

    release: (name, tenantIds) =>
      db.platform(async (tx) => {
        await tx
          .deleteFrom("detector_leases")
          .where("holder", "=", name)
          .where("tenant_id", "in", tenantIds)
          .execute();
      }),

    leave: (name) =>
      db.platform(async (tx) => {
        await tx.deleteFrom("detector_leases").where("holder", "=", name).execute();
        await tx.deleteFrom("detector_workers").where("name", "=", name).execute();
      }),
  };
}

async function attend(tx: Tx, name: string, now: Date, since: Date): Promise<string[]> {
  await tx
    .insertInto("detector_workers")
    .values({ name, seen_at: now })
    .onConflict((conflict) => conflict.column("name").doUpdateSet({ seen_at: now }))
    .execute();
  const forgotten = new Date(now.getTime() - FORGOTTEN_MS);
  await tx.deleteFrom("detector_workers").where("seen_at", "<", forgotten).execute();
  const rows = await tx
    .selectFrom("detector_workers")
    .select("name")
    .where("seen_at", ">=", since)
    .orderBy("name")
    .limit(MAX_WORKERS)
    .execute();
  return rows.map((row) => row.name);
}
