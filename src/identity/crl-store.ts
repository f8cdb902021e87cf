import { type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import type { AuthorityRow } from "./authority-types.ts";
import type { CrlEntry } from "./crl.ts";
import { REMOVE_FROM_CRL, REVOCATION_CODES } from "./revocation-reasons.ts";

export type ListKind = "full" | "delta";
export type ListRow = Selectable<Schema["revocation_lists"]>;
export type ListFacts = Omit<ListRow, "der">;

/** Processes that make a list of the same authority wait for one another. */
export async function lockLists(tx: Tx, authorityId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`crl:${authorityId}`}, 0))`.execute(tx);
}

/** What is published, without the lists themselves. */
export function publishedLists(
  tx: Tx,
  tenantId: string,
  authorityId: string,
): Promise<ListFacts[]> {
  return tx
    .selectFrom("revocation_lists")
    .select(["tenant_id", "ca_id", "kind", "number", "base_number", "entries", "content_sha256"])
    .select(["this_update", "next_update"])
    .where("tenant_id", "=", tenantId)
    .where("ca_id", "=", authorityId)
    .execute();
}

export async function listDer(
  tx: Tx,
  tenantId: string,
  authorityId: string,
  kind: ListKind,
): Promise<Buffer | undefined> {
  const row = await tx
    .selectFrom("revocation_lists")
    .select("der")
    .where("tenant_id", "=", tenantId)
    .where("ca_id", "=", authorityId)
    .where("kind", "=", kind)
    .executeTakeFirst();
  return row?.der;
}

export async function putList(tx: Tx, row: ListRow): Promise<void> {
  const { tenant_id: _tenant, ca_id: _authority, kind: _kind, ...changed } = row;
  await tx
    .insertInto("revocation_lists")
    .values(row)
    .onConflict((conflict) => conflict.columns(["tenant_id", "ca_id", "kind"]).doUpdateSet(changed))
    .execute();
}

/** Everything of an authority that is not good and has not ended before `since`. */
export async function revokedEntries(
  tx: Tx,
  tenantId: string,
  authorityId: string,
  since: Date,
  limit: number,
): Promise<CrlEntry[]> {
  const { rows } = await sql<CrlEntry>`
    select serial, revoked_at as "revokedAt", revocation_code as code from certificates
    where tenant_id = ${tenantId} and ca_id = ${authorityId} and status = 'revoked'
      and revocation_changed_at is not null and not_after > ${since}
    union all
    select serial, revoked_at, revocation_code from application_certificates
    where tenant_id = ${tenantId} and ca_id = ${authorityId} and status = 'revoked'
      and not_after > ${since}
    union all
    select serial, removed_at, ${REVOCATION_CODES.cessationOfOperation}::smallint
    from removed_certificates
    where tenant_id = ${tenantId} and ca_id = ${authorityId} and not_after > ${since}
    order by serial limit ${limit}`.execute(tx);
  return rows;
}

/** What has changed since a moment, what is good again included. */
export async function changedEntries(
  tx: Tx,
  tenantId: string,
  authorityId: string,
  since: Date,
  limit: number,
): Promise<CrlEntry[]> {
  const { rows } = await sql<CrlEntry>`
    select serial, coalesce(revoked_at, revocation_changed_at) as "revokedAt",
           case status when 'revoked' then revocation_code else ${REMOVE_FROM_CRL}::smallint end
             as code
    from certificates
    where tenant_id = ${tenantId} and ca_id = ${authorityId} and revocation_changed_at >= ${since}
    union all
    select serial, revoked_at, revocation_code from application_certificates
    where tenant_id = ${tenantId} and ca_id = ${authorityId} and revoked_at >= ${since}
    union all
    select serial, removed_at, ${REVOCATION_CODES.cessationOfOperation}::smallint
    from removed_certificates
    where tenant_id = ${tenantId} and ca_id = ${authorityId} and removed_at >= ${since}
    order by serial limit ${limit}`.execute(tx);
  return rows;
}

/** Authorities of any tenant that are revoked: what the root's list holds. */
export async function revokedAuthorities(
  tx: Tx,
): Promise<{ certificate_pem: string; revoked_at: Date }[]> {
  const { rows } = await sql<{ certificate_pem: string; revoked_at: Date }>`
    select certificate_pem, revoked_at from vautn.revoked_authorities()`.execute(tx);
  return rows;
}

export function findAuthority(
  tx: Tx,
  tenantId: string,
  id: string,
): Promise<AuthorityRow | undefined> {
  return tx
    .selectFrom("certificate_authorities")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .executeTakeFirst();
}

export interface PublishedAuthorityRow {
  tenant_id: string;
  id: string;
  kind: string;
  certificate_pem: string;
  created_at: Date;
}

/** Authorities of every tenant that were made from a moment on, oldest first. */
export async function authoritiesMadeSince(
  tx: Tx,
  since: Date,
  limit: number,
): Promise<PublishedAuthorityRow[]> {
  const { rows } = await sql<PublishedAuthorityRow>`
    select tenant_id, id, kind, certificate_pem, created_at
    from vautn.published_authorities(${since}, ${limit})`.execute(tx);
  return rows;
}

/** What is known of certificates of one authority, by serial. */
export async function standingsBySerial(
  tx: Tx,
  tenantId: string,
  authorityId: string,
  serials: readonly string[],
): Promise<Map<string, CertificateStanding>> {
  const asked = [...serials];
  const { rows } = await sql<CertificateStanding & { serial: string }>`
    select serial, status = 'revoked' as revoked, revoked_at as "revokedAt",
           revocation_code as code
    from certificates
    where tenant_id = ${tenantId} and ca_id = ${authorityId} and serial = any(${asked}::text[])
    union all
    select serial, status = 'revoked', revoked_at, revocation_code from application_certificates
    where tenant_id = ${tenantId} and ca_id = ${authorityId} and serial = any(${asked}::text[])
    union all
    select serial, true, removed_at, ${REVOCATION_CODES.cessationOfOperation}::smallint
    from removed_certificates
    where tenant_id = ${tenantId} and ca_id = ${authorityId} and serial = any(${asked}::text[])
  `.execute(tx);
  return new Map(rows.map(({ serial, ...standing }) => [serial, standing]));
}

export interface CertificateStanding {
  revoked: boolean;
  revokedAt: Date | null;
  code: number | null;
}
