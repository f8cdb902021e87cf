import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

/**
 * Keeps a blob as it is, there or gone, until the transaction ends: who begins to refer to one and
 * who collects it hold the same lock, so that neither acts on what the other has just changed.
 */
export async function holdBlob(tx: Tx, sha256: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`blob/${sha256}`}, 0))`.execute(tx);
}

/**
 * Those of `hashes` that a tenant whose blobs lie with those of others has as an artifact, a file of a
 * release or a finished upload; over all such tenants but `leftOut`.
 */
export async function sharedBlobs(
  tx: Tx,
  hashes: readonly string[],
  leftOut = "",
): Promise<Set<string>> {
  const { rows } = await sql<{ sha256: string }>`
    select vautn.shared_blobs(${[...hashes]}::text[], ${leftOut}) as sha256`.execute(tx);
  return new Set(rows.map((row) => row.sha256));
}

/** Tenants whose blobs lie apart that have this one. */
export async function separateOwners(tx: Tx, sha256: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select vautn.separate_owners(${sha256}) as id`.execute(tx);
  return rows.map(({ id }) => id);
}

/** The same of one tenant, wherever its blobs lie; all that it has without `hashes`. */
export async function blobsOfTenant(
  tx: Tx,
  tenantId: string,
  hashes: readonly string[] | null = null,
): Promise<Set<string>> {
  const among = hashes && [...hashes];
  const { rows } = await sql<{ sha256: string }>`
    select sha256 from (
      select tenant_id, sha256 from artifacts
      union select tenant_id, sha256 from release_files
      union select tenant_id, sha256 from uploads where sha256 is not null) as owned
    where tenant_id = ${tenantId} and (${among}::text[] is null or sha256 = any(${among}::text[]))
    order by sha256`.execute(tx);
  return new Set(rows.map((row) => row.sha256));
}

/** Of a tenant that is gone: `shared`. */
export async function storageClassOf(tx: Tx, tenantId: string): Promise<"shared" | "separate"> {
  const row = await tx
    .selectFrom("tenants")
    .select("storage_class")
    .where("id", "=", tenantId)
    .executeTakeFirst();
  return row?.storage_class ?? "shared";
}

/** Those of `ids` that are uploads of some tenant. */
export async function knownUploads(tx: Tx, ids: readonly string[]): Promise<Set<string>> {
  const { rows } = await sql<{ id: string }>`
    select vautn.known_uploads(${[...ids]}::uuid[]) as id`.execute(tx);
  return new Set(rows.map((row) => row.id));
}

/** Artifacts that at most are taken away in one transaction: each holds a lock of its own. */
const MAX_TAKEN = 200;

/**
 * Takes artifacts from the tenant that no release and no delta refers to; their hashes. Whoever begins
 * to refer to one holds its lock, as for its blob: what is unused is asked again once it is ours.
 */
export async function deleteUnusedArtifacts(
  tx: Tx,
  tenantId: string,
  createdBefore: Date,
): Promise<string[]> {
  const { rows: found } = await sql<{ sha256: string }>`
    select a.sha256 from artifacts a
    where a.tenant_id = ${tenantId} and a.created_at <= ${createdBefore}
      and vautn.artifact_is_unused(a)
    order by a.sha256 limit ${MAX_TAKEN}`.execute(tx);
  const hashes = found.map((row) => row.sha256);
  for (const sha256 of hashes) await holdBlob(tx, sha256);
  const { rows } = await sql<{ sha256: string }>`
    delete from artifacts a
    where a.tenant_id = ${tenantId} and a.sha256 = any(${hashes}::text[])
      and a.created_at <= ${createdBefore} and vautn.artifact_is_unused(a)
    returning a.sha256`.execute(tx);
  return rows.map((row) => row.sha256);
}
