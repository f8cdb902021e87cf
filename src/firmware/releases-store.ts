import type { Selectable } from "kysely";
import type { Schema, Tx } from "../db/index.ts";

export type ReleaseRow = Selectable<Schema["releases"]>;
export type ArtifactRow = Selectable<Schema["artifacts"]>;

/** Adds what the tenant may read from now on. Content that is an image and a patch is an image. */
export async function insertArtifact(tx: Tx, row: ArtifactRow): Promise<void> {
  await tx
    .insertInto("artifacts")
    .values(row)
    .onConflict((conflict) => {
      const same = conflict.columns(["tenant_id", "sha256"]);
      return row.kind === "image" ? same.doUpdateSet({ kind: "image" }) : same.doNothing();
    })
    .execute();
}

export function findArtifact(
  tx: Tx,
  tenantId: string,
  sha256: string,
): Promise<ArtifactRow | undefined> {
  return tx
    .selectFrom("artifacts")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("sha256", "=", sha256)
    .executeTakeFirst();
}

/** Those of `hashes` that are images of the tenant, with their sizes. */
export async function findImages(
  tx: Tx,
  tenantId: string,
  hashes: readonly string[],
): Promise<Map<string, number>> {
  if (hashes.length === 0) return new Map();
  const rows = await tx
    .selectFrom("artifacts")
    .select(["sha256", "size_bytes"])
    .where("tenant_id", "=", tenantId)
    .where("kind", "=", "image")
    .where("sha256", "in", [...hashes])
    .execute();
  return new Map(rows.map((row) => [row.sha256, row.size_bytes]));
}

export async function insertRelease(tx: Tx, row: ReleaseRow): Promise<void> {
  await tx
    .insertInto("releases")
    .values({ ...row, envelope: JSON.stringify(row.envelope) })
    .execute();
}

export function findRelease(tx: Tx, tenantId: string, id: string): Promise<ReleaseRow | undefined> {
  return tx
    .selectFrom("releases")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .executeTakeFirst();
}

export async function hasVersion(
  tx: Tx,
  tenantId: string,
  product: string,
  version: string,
): Promise<boolean> {
  const row = await tx
    .selectFrom("releases")
    .select("id")
    .where("tenant_id", "=", tenantId)
    .where("product", "=", product)
    .where("version", "=", version)
    .executeTakeFirst();
  return row !== undefined;
}

export async function countReleases(tx: Tx, tenantId: string): Promise<number> {
  const { count } = await tx
    .selectFrom("releases")
    .select((select) => select.fn.countAll<number>().as("count"))
    .where("tenant_id", "=", tenantId)
    .executeTakeFirstOrThrow();
  return count;
}

/** Newest first; ids sort by the time of publishing. */
export function listReleases(
  tx: Tx,
  tenantId: string,
  options: {
    product?: string | undefined;
    channel?: ReleaseRow["channel"] | undefined;
    status?: ReleaseRow["status"] | undefined;
    before: string | undefined;
    limit: number;
  },
): Promise<ReleaseRow[]> {
  let query = tx.selectFrom("releases").selectAll().where("tenant_id", "=", tenantId);
  if (options.product !== undefined) query = query.where("product", "=", options.product);
  if (options.channel !== undefined) query = query.where("channel", "=", options.channel);
  if (options.status !== undefined) query = query.where("status", "=", options.status);
  if (options.before !== undefined) query = query.where("id", "<", options.before);
  return query.orderBy("id", "desc").limit(options.limit).execute();
}

/** The release in its new channel, or undefined where it is in none of `from`, or was yanked. */
export async function setChannel(
  tx: Tx,
  tenantId: string,
  id: string,
  channel: ReleaseRow["channel"],
  from: readonly ReleaseRow["channel"][],
): Promise<ReleaseRow | undefined> {
  if (from.length === 0) return undefined;
  return tx
    .updateTable("releases")
    .set({ channel })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("status", "=", "published")
    .where("channel", "in", [...from])
    .returningAll()
    .executeTakeFirst();
}

/** The release as it is now, or undefined where it was not published. */
export function markYanked(
  tx: Tx,
  tenantId: string,
  id: string,
  reason: string,
): Promise<ReleaseRow | undefined> {
  return tx
    .updateTable("releases")
    .set({ status: "yanked", yank_reason: reason })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("status", "=", "published")
    .returningAll()
    .executeTakeFirst();
}

/** Those of `hashes` that the tenant has, whatever they are. */
export async function knownArtifacts(
  tx: Tx,
  tenantId: string,
  hashes: readonly string[],
): Promise<Set<string>> {
  const rows = await tx
    .selectFrom("artifacts")
    .select("sha256")
    .where("tenant_id", "=", tenantId)
    .where("sha256", "in", [...hashes])
    .execute();
  return new Set(rows.map((row) => row.sha256));
}

export type ReleaseFileRow = Selectable<Schema["release_files"]>;

export async function insertReleaseFile(tx: Tx, row: ReleaseFileRow): Promise<void> {
  const summary = row.summary === null ? null : JSON.stringify(row.summary);
  await tx
    .insertInto("release_files")
    .values({ ...row, summary })
    .execute();
}

export function listReleaseFiles(
  tx: Tx,
  tenantId: string,
  releaseId: string,
): Promise<ReleaseFileRow[]> {
  return tx
    .selectFrom("release_files")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("release_id", "=", releaseId)
    .orderBy("role")
    .orderBy("component")
    .execute();
}
