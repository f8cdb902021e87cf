import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { AuthorityKind, AuthorityRow, KeyColumns } from "./authority-types.ts";

/** Authorities of one kind that are believed at a time: rotation comes to an end before the next. */
export const MAX_USABLE = 10;

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
  return (
    tx
      .selectFrom("certificate_authorities")
      .selectAll()
      .where("tenant_id", "=", tenantId)
      .where("kind", "=", kind)
      .where("status", "in", ["active", "retiring"])
      // The active one comes first, even where two were made within one tick of the clock.
      .orderBy("status")
      .orderBy("created_at", "desc")
      .limit(MAX_USABLE)
      .execute()
  );
}

/** Every authority of the installation, those of one tenant together, newest first. */
export function allAuthorities(tx: Tx, limit: number): Promise<AuthorityRow[]> {
  return tx
    .selectFrom("certificate_authorities")
    .selectAll()
    .orderBy("tenant_id")
    .orderBy("kind")
    .orderBy("created_at", "desc")
    .limit(limit)
    .execute();
}

export function authoritiesOf(tx: Tx, tenantId: string, limit: number): Promise<AuthorityRow[]> {
  return tx
    .selectFrom("certificate_authorities")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .orderBy("created_at", "desc")
    .limit(limit)
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

/** Its key stays: what it issued stands in its revocation lists until it would have expired. */
export async function endAuthority(tx: Tx, tenantId: string, id: string, now: Date): Promise<void> {
  await tx
    .updateTable("certificate_authorities")
    .set({ status: "ended", ended_at: now })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

/** A tenant that is gone issues nothing more, and nothing of it is accepted. */
export async function revokeAuthorities(tx: Tx, tenantId: string): Promise<void> {
  await tx
    .updateTable("certificate_authorities")
    .set({ status: "revoked", private_key_sealed: null })
    .where("tenant_id", "=", tenantId)
    .where("kind", "=", "tenant")
    .execute();
  await tx.deleteFrom("authority_requests").where("tenant_id", "=", tenantId).execute();
}

/** A request for an authority's certificate, which waits for the offline root. */
export interface AuthorityRequestRow extends KeyColumns {
  tenant_id: string;
  id: string;
  kind: "tenant" | "server";
  subject: string;
  request_pem: string;
  created_at: Date;
}

/** Takes the place of an earlier request for the same. */
export async function replaceRequest(tx: Tx, row: AuthorityRequestRow): Promise<void> {
  const { key_kind } = row;
  if (key_kind === "offline") throw new TypeError("a request's key is at hand");
  await tx
    .deleteFrom("authority_requests")
    .where("tenant_id", "=", row.tenant_id)
    .where("kind", "=", row.kind)
    .execute();
  await tx
    .insertInto("authority_requests")
    .values({ ...row, key_kind })
    .execute();
}

export function requestFor(
  tx: Tx,
  tenantId: string,
  kind: AuthorityKind,
): Promise<AuthorityRequestRow | undefined> {
  return tx
    .selectFrom("authority_requests")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("kind", "=", kind as "tenant")
    .executeTakeFirst();
}

export function requestById(tx: Tx, id: string): Promise<AuthorityRequestRow | undefined> {
  return tx
    .selectFrom("authority_requests")
    .selectAll()
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
}

/** Requests of every tenant, the longest waiting first. */
export function allRequests(tx: Tx, limit: number): Promise<AuthorityRequestRow[]> {
  return tx
    .selectFrom("authority_requests")
    .selectAll()
    .orderBy("created_at")
    .orderBy("id")
    .limit(limit)
    .execute();
}

export async function deleteRequest(tx: Tx, id: string): Promise<void> {
  await tx.deleteFrom("authority_requests").where("id", "=", id).execute();
}

/** Certificates that an authority issued and that would be accepted at this moment. */
export async function countLive(
  tx: Tx,
  tenantId: string,
  authorityId: string,
  now: Date,
): Promise<number> {
  const row = await tx
    .selectFrom("certificates")
    .select((one) => one.fn.countAll<number>().as("count"))
    .where("tenant_id", "=", tenantId)
    .where("ca_id", "=", authorityId)
    .where("status", "=", "active")
    .where("not_after", ">", now)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** Certificates of this authority that are not revoked, with a serial above `afterSerial`. */
export async function serialsUnder(
  tx: Tx,
  tenantId: string,
  authorityId: string,
  afterSerial: string,
  limit: number,
): Promise<string[]> {
  const rows = await tx
    .selectFrom("certificates")
    .select("serial")
    .where("tenant_id", "=", tenantId)
    .where("ca_id", "=", authorityId)
    .where("status", "!=", "revoked")
    .where("serial", ">", afterSerial)
    .orderBy("serial")
    .limit(limit)
    .execute();
  return rows.map((row) => row.serial);
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
