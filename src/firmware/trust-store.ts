import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { Envelope, RootMetadata, SigningKey } from "../protocol/index.ts";

/** Held until the transaction ends, so that two of them do not both add a root or a key. */
export async function lockTrust(tx: Tx, tenantId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext('trust'), hashtext(${tenantId}))`.execute(tx);
}

export async function latestRoot(
  tx: Tx,
  tenantId: string,
): Promise<Envelope<RootMetadata> | undefined> {
  const row = await tx
    .selectFrom("trust_roots")
    .select("envelope")
    .where("tenant_id", "=", tenantId)
    .orderBy("version", "desc")
    .limit(1)
    .executeTakeFirst();
  return row?.envelope;
}

/** Roots above `afterVersion`, oldest first: the chain that a device walks. */
export async function rootsAfter(
  tx: Tx,
  tenantId: string,
  afterVersion: number,
  limit: number,
): Promise<Envelope<RootMetadata>[]> {
  const rows = await tx
    .selectFrom("trust_roots")
    .select("envelope")
    .where("tenant_id", "=", tenantId)
    .where("version", ">", afterVersion)
    .orderBy("version")
    .limit(limit)
    .execute();
  return rows.map((row) => row.envelope);
}

export async function insertRoot(
  tx: Tx,
  tenantId: string,
  envelope: Envelope<RootMetadata>,
  createdAt: Date,
): Promise<void> {
  const { version } = envelope.signed;
  await tx
    .insertInto("trust_roots")
    .values({
      tenant_id: tenantId,
      version,
      envelope: JSON.stringify(envelope),
      created_at: createdAt,
    })
    .execute();
}

export interface DirectorKeyRow {
  key_id: string;
  public_key: SigningKey;
  private_key_sealed: Buffer;
}

export function latestDirectorKey(tx: Tx, tenantId: string): Promise<DirectorKeyRow | undefined> {
  return tx
    .selectFrom("director_keys")
    .select(["key_id", "public_key", "private_key_sealed"])
    .where("tenant_id", "=", tenantId)
    .orderBy("created_at", "desc")
    .limit(1)
    .executeTakeFirst();
}

export async function insertDirectorKey(
  tx: Tx,
  tenantId: string,
  key: DirectorKeyRow,
  createdAt: Date,
): Promise<void> {
  await tx
    .insertInto("director_keys")
    .values({
      tenant_id: tenantId,
      key_id: key.key_id,
      public_key: JSON.stringify(key.public_key),
      private_key_sealed: key.private_key_sealed,
      created_at: createdAt,
    })
    .execute();
}
