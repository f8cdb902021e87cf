import { type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import type { StorageClass } from "../tenancy/index.ts";

export type UploadRow = Selectable<Schema["uploads"]>;

/** Uploads of the tenant and the bytes that they announce; held still until the transaction ends. */
export async function countUploads(
  tx: Tx,
  tenantId: string,
): Promise<{ uploads: number; sizeBytes: number }> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`uploads/${tenantId}`}, 0))`.execute(
    tx,
  );
  const { uploads, size } = await tx
    .selectFrom("uploads")
    .select((select) => [
      select.fn.countAll<number>().as("uploads"),
      select.fn.coalesce(select.fn.sum<string>("size_bytes"), sql<string>`0`).as("size"),
    ])
    .where("tenant_id", "=", tenantId)
    .executeTakeFirstOrThrow();
  return { uploads, sizeBytes: Number(size) };
}

export async function insertUpload(tx: Tx, row: UploadRow): Promise<void> {
  await tx.insertInto("uploads").values(row).execute();
}

export function findUpload(tx: Tx, tenantId: string, id: string): Promise<UploadRow | undefined> {
  return tx
    .selectFrom("uploads")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .executeTakeFirst();
}

/** The upload, which nobody else can change or end until the transaction has. */
export function holdUpload(tx: Tx, tenantId: string, id: string): Promise<UploadRow | undefined> {
  return tx
    .selectFrom("uploads")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
}

/** Newest first. */
export function listUploads(
  tx: Tx,
  tenantId: string,
  options: { before: string | undefined; limit: number },
): Promise<UploadRow[]> {
  let query = tx.selectFrom("uploads").selectAll().where("tenant_id", "=", tenantId);
  if (options.before !== undefined) query = query.where("id", "<", options.before);
  return query.orderBy("id", "desc").limit(options.limit).execute();
}

/** Those of the tenant whose bytes do not lie in `place`. */
export async function uploadsElsewhere(
  tx: Tx,
  tenantId: string,
  place: StorageClass,
): Promise<string[]> {
  const rows = await tx
    .selectFrom("uploads")
    .select("id")
    .where("tenant_id", "=", tenantId)
    .where("place", "!=", place)
    .where("status", "!=", "complete")
    .execute();
  return rows.map(({ id }) => id);
}

/** Those whose bytes lie in `place`, or did until they were complete. */
export async function uploadsIn(tx: Tx, tenantId: string, place: StorageClass): Promise<string[]> {
  const rows = await tx
    .selectFrom("uploads")
    .select("id")
    .where("tenant_id", "=", tenantId)
    .where("place", "=", place)
    .execute();
  return rows.map(({ id }) => id);
}

/** Takes the upload for one writer; undefined where another one has it, or there is none. */
export function lockUpload(
  tx: Tx,
  tenantId: string,
  id: string,
  lock: { token: string; now: Date; until: Date },
): Promise<UploadRow | undefined> {
  return tx
    .updateTable("uploads")
    .set({ lock_token: lock.token, locked_until: lock.until })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where((where) =>
      where.or([where("locked_until", "is", null), where("locked_until", "<=", lock.now)]),
    )
    .returningAll()
    .executeTakeFirst();
}

export interface UploadChange {
  status?: "finishing" | "complete";
  offset_bytes?: number;
  sha256?: string;
  staging_state?: string | null;
  place?: StorageClass;
  expires_at?: Date;
  lock_token?: null;
  locked_until?: Date | null;
}

/** Changes what the writer with this token holds; false where it holds it no longer. */
export async function changeUpload(
  tx: Tx,
  tenantId: string,
  id: string,
  token: string,
  change: UploadChange,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("uploads")
    .set(change)
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("lock_token", "=", token)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export async function deleteUpload(tx: Tx, tenantId: string, id: string): Promise<void> {
  await tx.deleteFrom("uploads").where("tenant_id", "=", tenantId).where("id", "=", id).execute();
}

/** Those that have expired and that nobody writes to. */
export function expiredUploads(
  tx: Tx,
  tenantId: string,
  now: Date,
  limit: number,
): Promise<UploadRow[]> {
  return tx
    .selectFrom("uploads")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("expires_at", "<=", now)
    .where((where) =>
      where.or([where("locked_until", "is", null), where("locked_until", "<=", now)]),
    )
    .orderBy("expires_at")
    .limit(limit)
    .forUpdate()
    .skipLocked()
    .execute();
}
