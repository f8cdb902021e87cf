import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

export type AuthorityKind = "root" | "tenant" | "server";

export interface AuthorityRow {
  tenant_id: string;
  id: string;
  kind: AuthorityKind;
  status: "active" | "retiring" | "revoked";
  subject: string;
  certificate_pem: string;
  private_key_sealed: Buffer | null;
  fingerprint: string;
  key_identifier: string;
  created_at: Date;
  not_after: Date;
}

/** Makes processes that start together wait for each other until the transaction ends. */
export async function lockAuthorities(tx: Tx): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended('vautn.authorities', 0))`.execute(tx);
}

/** Active and retiring ones, newest first. */
export function usableAuthorities(
  tx: Tx,
  tenantId: string,
  kind: AuthorityKind,
): Promise<AuthorityRow[]> {
  return tx
    .selectFrom("certificate_authorities")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("kind", "=", kind)
    .where("status", "in", ["active", "retiring"])
    .orderBy("created_at", "desc")
    .limit(10)
    .execute();
}

/** The one that was active until now retires: it signs no more and is still believed. */
export async function insertAuthority(tx: Tx, row: AuthorityRow): Promise<void> {
  await tx
    .updateTable("certificate_authorities")
    .set({ status: "retiring" })
    .where("tenant_id", "=", row.tenant_id)
    .where("kind", "=", row.kind)
    .where("status", "=", "active")
    .execute();
  await tx.insertInto("certificate_authorities").values(row).execute();
}

/** A tenant that is gone issues nothing more, and nothing of it is accepted. */
export async function revokeAuthorities(tx: Tx, tenantId: string): Promise<void> {
  await tx
    .updateTable("certificate_authorities")
    .set({ status: "revoked", private_key_sealed: null })
    .where("tenant_id", "=", tenantId)
    .where("kind", "=", "tenant")
    .execute();
}

export async function tenantExists(tx: Tx, tenantId: string): Promise<boolean> {
  const row = await tx
    .selectFrom("tenants")
    .select("id")
    .where("id", "=", tenantId)
    .executeTakeFirst();
  return row !== undefined;
}

const TRUST_DOMAIN = "trust-domain";

/** The trust domain of the first start, which is written down then and never changes. */
export async function trustDomainOrSet(tx: Tx, trustDomain: string, now: Date): Promise<string> {
  await tx
    .insertInto("instance_settings")
    .values({ key: TRUST_DOMAIN, value: JSON.stringify(trustDomain), updated_at: now })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const row = await tx
    .selectFrom("instance_settings")
    .select("value")
    .where("key", "=", TRUST_DOMAIN)
    .executeTakeFirstOrThrow();
  return row.value as string;
}
