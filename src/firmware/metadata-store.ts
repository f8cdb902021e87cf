import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { Envelope, SnapshotMetadata, TimestampMetadata } from "../protocol/index.ts";

export interface ProductMetadata {
  root_version: number;
  snapshot: Envelope<SnapshotMetadata>;
  timestamp: Envelope<TimestampMetadata>;
  renew_at: Date;
}

export function findMetadata(
  tx: Tx,
  tenantId: string,
  product: string,
): Promise<ProductMetadata | undefined> {
  return tx
    .selectFrom("product_metadata")
    .select(["root_version", "snapshot", "timestamp", "renew_at"])
    .where("tenant_id", "=", tenantId)
    .where("product", "=", product)
    .executeTakeFirst();
}

/** Until the transaction ends nobody else signs for the product: versions only rise. */
export async function lockMetadata(tx: Tx, tenantId: string, product: string): Promise<void> {
  const key = `metadata/${tenantId}/${product}`;
  await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx);
}

export async function writeMetadata(
  tx: Tx,
  tenantId: string,
  product: string,
  metadata: ProductMetadata,
): Promise<void> {
  const values = {
    root_version: metadata.root_version,
    snapshot: JSON.stringify(metadata.snapshot),
    timestamp: JSON.stringify(metadata.timestamp),
    renew_at: metadata.renew_at,
  };
  await tx
    .insertInto("product_metadata")
    .values({ tenant_id: tenantId, product, ...values })
    .onConflict((conflict) => conflict.columns(["tenant_id", "product"]).doUpdateSet(values))
    .execute();
}

/** Products with metadata; those that are due by `moment`, where one is given. */
export async function productsWithMetadata(
  tx: Tx,
  tenantId: string,
  moment?: Date,
): Promise<string[]> {
  let query = tx
    .selectFrom("product_metadata")
    .select("product")
    .where("tenant_id", "=", tenantId)
    .orderBy("product");
  if (moment) query = query.where("renew_at", "<=", moment);
  return (await query.execute()).map((row) => row.product);
}

/** Releases that are on offer, with what they were signed as. */
export function releasesOnOffer(tx: Tx, tenantId: string, product: string, limit: number) {
  return tx
    .selectFrom("releases")
    .select(["version", "envelope"])
    .where("tenant_id", "=", tenantId)
    .where("product", "=", product)
    .where("status", "=", "published")
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
}
