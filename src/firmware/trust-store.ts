import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { Envelope, RootMetadata, SigningKey, TargetsMetadata } from "../protocol/index.ts";
import type { OnlineRole } from "./online-keys.ts";

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

/** The newest roots in the order of their versions. */
export async function newestRoots(
  tx: Tx,
  tenantId: string,
  limit: number,
): Promise<Envelope<RootMetadata>[]> {
  const rows = await tx
    .selectFrom("trust_roots")
    .select("envelope")
    .where("tenant_id", "=", tenantId)
    .orderBy("version", "desc")
    .limit(limit)
    .execute();
  return rows.map((row) => row.envelope).reverse();
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

export async function latestTargets(
  tx: Tx,
  tenantId: string,
): Promise<Envelope<TargetsMetadata> | undefined> {
  const row = await tx
    .selectFrom("trust_targets")
    .select("envelope")
    .where("tenant_id", "=", tenantId)
    .orderBy("version", "desc")
    .limit(1)
    .executeTakeFirst();
  return row?.envelope;
}

export async function insertTargets(
  tx: Tx,
  tenantId: string,
  envelope: Envelope<TargetsMetadata>,
  createdAt: Date,
): Promise<void> {
  await tx
    .insertInto("trust_targets")
    .values({
      tenant_id: tenantId,
      version: envelope.signed.version,
      envelope: JSON.stringify(envelope),
      created_at: createdAt,
    })
    .execute();
}

export interface OnlineKeyRow {
  key_id: string;
  role: OnlineRole;
  public_key: SigningKey;
  private_key_sealed: Buffer;
}

export function newestOnlineKey(
  tx: Tx,
  tenantId: string,
  role: OnlineRole,
): Promise<OnlineKeyRow | undefined> {
  return tx
    .selectFrom("online_keys")
    .select(["key_id", "role", "public_key", "private_key_sealed"])
    .where("tenant_id", "=", tenantId)
    .where("role", "=", role)
    .orderBy("ordinal", "desc")
    .limit(1)
    .executeTakeFirst();
}

export function findOnlineKey(
  tx: Tx,
  tenantId: string,
  keyId: string,
): Promise<OnlineKeyRow | undefined> {
  return tx
    .selectFrom("online_keys")
    .select(["key_id", "role", "public_key", "private_key_sealed"])
    .where("tenant_id", "=", tenantId)
    .where("key_id", "=", keyId)
    .executeTakeFirst();
}

export async function onlineKeyIds(tx: Tx, tenantId: string, role: OnlineRole): Promise<string[]> {
  const rows = await tx
    .selectFrom("online_keys")
    .select("key_id")
    .where("tenant_id", "=", tenantId)
    .where("role", "=", role)
    .execute();
  return rows.map((row) => row.key_id);
}

export async function countOnlineKeys(tx: Tx, tenantId: string): Promise<number> {
  const { count } = await tx
    .selectFrom("online_keys")
    .select((select) => select.fn.countAll<number>().as("count"))
    .where("tenant_id", "=", tenantId)
    .executeTakeFirstOrThrow();
  return count;
}

export async function insertOnlineKey(
  tx: Tx,
  tenantId: string,
  key: OnlineKeyRow,
  createdAt: Date,
): Promise<void> {
  await tx
    .insertInto("online_keys")
    .values({
      tenant_id: tenantId,
      key_id: key.key_id,
      role: key.role,
      public_key: JSON.stringify(key.public_key),
      private_key_sealed: key.private_key_sealed,
      created_at: createdAt,
    })
    .execute();
}
