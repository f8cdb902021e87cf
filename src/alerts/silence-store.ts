import type { Tx } from "../db/index.ts";

export interface SilenceRow {
  id: string;
  matchers: string[];
  starts_at: Date;
  ends_at: Date;
  comment: string;
  created_at: Date;
  created_by: string;
  ended_by: string | null;
}

const COLUMNS = [
  "id",
  "matchers",
  "starts_at",
  "ends_at",
  "comment",
  "created_at",
  "created_by",
  "ended_by",
] as const;

/** Those that end after `moment`, the first to end first; all where it is null, newest first. */
export async function listSilences(
  tx: Tx,
  tenantId: string,
  { endAfter, limit }: { endAfter: Date | null; limit: number },
): Promise<SilenceRow[]> {
  let query = tx
    .selectFrom("alert_silences")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .limit(limit);
  query = endAfter
    ? query.where("ends_at", ">", endAfter).orderBy("ends_at").orderBy("id")
    : query.orderBy("created_at", "desc").orderBy("id");
  return query.execute();
}

export async function findSilence(
  tx: Tx,
  tenantId: string,
  id: string,
): Promise<SilenceRow | undefined> {
  return tx
    .selectFrom("alert_silences")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .executeTakeFirst();
}

export async function insertSilence(tx: Tx, tenantId: string, silence: SilenceRow): Promise<void> {
  await tx
    .insertInto("alert_silences")
    .values({ ...silence, tenant_id: tenantId })
    .execute();
}

/** Ends one that has not ended; what has ended stays as it was. */
export async function endSilence(
  tx: Tx,
  tenantId: string,
  id: string,
  { by, now }: { by: string; now: Date },
): Promise<void> {
  await tx
    .updateTable("alert_silences")
    .set({ ends_at: now, ended_by: by })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("ends_at", ">", now)
    .execute();
}

/** Forgets those that ended before `before`. */
export async function pruneSilences(
  tx: Tx,
  tenantId: string,
  before: Date,
  limit: number,
): Promise<void> {
  await tx
    .deleteFrom("alert_silences")
    .where("tenant_id", "=", tenantId)
    .where("id", "in", (query) =>
      query
        .selectFrom("alert_silences")
        .select("id")
        .where("tenant_id", "=", tenantId)
        .where("ends_at", "<", before)
        .limit(limit),
    )
    .execute();
}
