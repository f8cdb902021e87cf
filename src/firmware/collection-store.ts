import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

/**
 * Keeps a blob as it is, there or gone, until the transaction ends: who begins to refer to one and
 * who collects it hold the same lock, so that neither acts on what the other has just changed.
 */
export async function holdBlob(tx: Tx, sha256: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`blob/${sha256}`}, 0))`.execute(tx);
}

/** Those of `hashes` that a tenant has as an artifact or a finished upload; over all tenants. */
export async function referencedBlobs(tx: Tx, hashes: readonly string[]): Promise<Set<string>> {
  const { rows } = await sql<{ sha256: string }>`
    select vautn.referenced_blobs(${[...hashes]}::text[]) as sha256`.execute(tx);
  return new Set(rows.map((row) => row.sha256));
}

/** Those of `ids` that are uploads of some tenant. */
export async function knownUploads(tx: Tx, ids: readonly string[]): Promise<Set<string>> {
  const { rows } = await sql<{ id: string }>`
    select vautn.known_uploads(${[...ids]}::uuid[]) as id`.execute(tx);
  return new Set(rows.map((row) => row.id));
}

/** Takes artifacts from the tenant that no release and no delta refers to; their hashes. */
export async function deleteUnusedArtifacts(
  tx: Tx,
  tenantId: string,
  createdBefore: Date,
): Promise<string[]> {
  const { rows } = await sql<{ sha256: string }>`
    delete from artifacts a
    where a.tenant_id = ${tenantId} and a.created_at <= ${createdBefore}
      and not exists (select from releases r
        where r.tenant_id = a.tenant_id and r.image_sha256 = a.sha256)
      and not exists (select from release_files f
        where f.tenant_id = a.tenant_id and f.sha256 = a.sha256)
      and not exists (select from deltas d
        where d.tenant_id = a.tenant_id
          and a.sha256 in (d.artifact_sha256, d.target_sha256, d.source_sha256))
    returning a.sha256`.execute(tx);
  return rows.map((row) => row.sha256);
}
