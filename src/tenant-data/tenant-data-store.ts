import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

export interface TenantTable {
  name: string;
  key_columns: string[];
}

export async function tenantTables(tx: Tx): Promise<TenantTable[]> {
  const { rows } = await sql<TenantTable>`
    select name, key_columns from vautn.tenant_tables()`.execute(tx);
  return rows;
}

/** Rows after `after`, by primary key, as JSON of every column. */
export async function readPage(
  tx: Tx,
  table: TenantTable,
  after: object | undefined,
  limit: number,
): Promise<Record<string, unknown>[]> {
  const keys = sql.join(table.key_columns.map((column) => sql.ref(`t.${column}`)));
  const from = sql.table(table.name);
  const place = sql.join(table.key_columns.map((column) => sql.ref(`r.${column}`)));
  const json = JSON.stringify(after ?? {});
  const beyond = after
    ? sql`(${keys}) > (select ${place} from jsonb_populate_record(null::${from}, ${json}::jsonb) r)`
    : sql`true`;
  const { rows } = await sql<{ row: Record<string, unknown> }>`
    select to_jsonb(t) as row from ${from} t where ${beyond}
    order by ${keys} limit ${limit}`.execute(tx);
  return rows.map(({ row }) => row);
}

export async function countTenant(tx: Tx, tenantId: string): Promise<Record<string, number>> {
  const { rows } = await sql<{ name: string; row_count: number }>`
    select name, row_count from vautn.count_tenant(${tenantId})`.execute(tx);
  return Object.fromEntries(rows.map(({ name, row_count }) => [name, row_count]));
}

export async function purgeTenant(tx: Tx, tenantId: string): Promise<void> {
  await sql`select vautn.purge_tenant(${tenantId})`.execute(tx);
}

export interface TenantBlobs {
  artifacts: { sha256: string; sizeBytes: number }[];
  uploads: string[];
}

export async function tenantBlobs(tx: Tx): Promise<TenantBlobs> {
  // Images and patches, documents of releases, and uploads that nobody has published yet.
  const { rows: artifacts } = await sql<{ sha256: string; size_bytes: number }>`
    select sha256, max(size_bytes) as size_bytes from (
      select sha256, size_bytes from artifacts
      union all select sha256, size_bytes from release_files
      union all select sha256, size_bytes from uploads where sha256 is not null
    ) as owned group by sha256 order by sha256`.execute(tx);
  const uploads = await tx.selectFrom("uploads").select("id").orderBy("id").execute();
  return {
    artifacts: artifacts.map(({ sha256, size_bytes }) => ({ sha256, sizeBytes: size_bytes })),
    uploads: uploads.map(({ id }) => id),
  };
}

/** Locks the tenant's row: who restores it and who begins to delete it wait for each other. */
export async function lockTenant(
  tx: Tx,
  tenantId: string,
): Promise<{ deletes_at: Date | null; busyUntil: string | null } | undefined> {
  return tx
    .selectFrom("tenants")
    .select(["deletes_at", sql<string | null>`storage_move ->> 'busyUntil'`.as("busyUntil")])
    .where("id", "=", tenantId)
    .forUpdate()
    .executeTakeFirst();
}

export async function setDeletion(tx: Tx, tenantId: string, at: Date | null): Promise<void> {
  await tx.updateTable("tenants").set({ deletes_at: at }).where("id", "=", tenantId).execute();
}

export async function dueDeletions(tx: Tx, now: Date, limit: number): Promise<string[]> {
  const rows = await tx
    .selectFrom("tenants")
    .select("id")
    .where("deletes_at", "<=", now)
    .orderBy("deletes_at")
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}

/** What was there of a tenant when its deletion began. */
export interface FoundData extends TenantBlobs {
  /** In a place of its own. */
  ownBlobs?: { count: number; sizeBytes: number };
  postgresql: Record<string, number>;
  clickhouse: Record<string, number>;
}

/** Writes down that a deletion begins, and what is there; the first who does so is believed. */
export async function beginDeletion(
  tx: Tx,
  tenant: string,
  at: Date,
  found: FoundData,
): Promise<void> {
  await tx
    .insertInto("tenant_deletions")
    .values({ tenant, deleted_at: at, found: JSON.stringify(found) })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** What was there when a deletion began that has not come to its end. */
export async function deletionUnderWay(tx: Tx, tenant: string): Promise<FoundData | undefined> {
  const row = await tx
    .selectFrom("tenant_deletions")
    .select("found")
    .where("tenant", "=", tenant)
    .where("receipt", "is", null)
    .executeTakeFirst();
  return row?.found as FoundData | undefined;
}

export async function deletionsUnderWay(tx: Tx, limit: number): Promise<string[]> {
  const rows = await tx
    .selectFrom("tenant_deletions")
    .select("tenant")
    .where("receipt", "is", null)
    .orderBy("tenant")
    .limit(limit)
    .execute();
  return rows.map(({ tenant }) => tenant);
}

/** Tenants that were deleted since, the latest first. */
export async function deletedSince(tx: Tx, since: Date, limit: number): Promise<string[]> {
  const rows = await tx
    .selectFrom("tenant_deletions")
    .select("tenant")
    .where("receipt", "is not", null)
    .where("deleted_at", ">", since)
    .orderBy("deleted_at", "desc")
    .limit(limit)
    .execute();
  return rows.map(({ tenant }) => tenant);
}

/** False where another process has ended it before. */
export async function endDeletion(
  tx: Tx,
  tenant: string,
  deletedAt: Date,
  receipt: object,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("tenant_deletions")
    .set({ deleted_at: deletedAt, receipt: JSON.stringify(receipt), found: null })
    .where("tenant", "=", tenant)
    .where("receipt", "is", null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export async function findReceipt(tx: Tx, tenant: string): Promise<unknown> {
  const row = await tx
    .selectFrom("tenant_deletions")
    .select("receipt")
    .where("tenant", "=", tenant)
    .executeTakeFirst();
  return row?.receipt ?? undefined;
}
