import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

/** Certificates that a tenant's list keeps, or the platform's. */
export const MAX_KNOCKS = 1_000;

export interface KnockRow {
  fingerprint: string;
  subject: string;
  issuer: string;
  device_id: string | null;
  reason: string;
  count: number;
  first_seen_at: Date;
  last_seen_at: Date;
  address: string | null;
}

/** Adds to what is known of these certificates; what was seen least and longest ago gives way. */
export async function addKnocks(
  tx: Tx,
  tenantId: string,
  rows: readonly KnockRow[],
): Promise<void> {
  await tx
    .insertInto("certificate_knocks")
    .values(rows.map((row) => ({ tenant_id: tenantId, ...row })))
    .onConflict((conflict) =>
      conflict.columns(["tenant_id", "fingerprint"]).doUpdateSet({
        count: sql`certificate_knocks.count + excluded.count`,
        reason: sql`excluded.reason`,
        last_seen_at: sql`excluded.last_seen_at`,
        address: sql`excluded.address`,
      }),
    )
    .execute();
  // Who knocks again and again stays on the list, however many come once with a new certificate.
  await sql`
    delete from certificate_knocks where tenant_id = ${tenantId} and fingerprint in (
      select fingerprint from certificate_knocks where tenant_id = ${tenantId}
      order by count desc, last_seen_at desc offset ${MAX_KNOCKS})`.execute(tx);
}

/** The latest first. */
export async function knocksBefore(
  tx: Tx,
  tenantId: string,
  filter: {
    reason?: string | undefined;
    after: { at: Date; fingerprint: string } | undefined;
    limit: number;
  },
): Promise<KnockRow[]> {
  const { reason, after, limit } = filter;
  const { rows } = await sql<KnockRow>`
    select fingerprint, subject, issuer, device_id, reason, count, first_seen_at, last_seen_at, address
    from certificate_knocks where tenant_id = ${tenantId}
      ${reason === undefined ? sql`` : sql`and reason = ${reason}`}
      ${after ? sql`and (last_seen_at, fingerprint) < (${after.at}, ${after.fingerprint})` : sql``}
    order by last_seen_at desc, fingerprint desc limit ${limit}`.execute(tx);
  return rows;
}

export async function countKnocksSince(tx: Tx, tenantId: string, since: Date): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from certificate_knocks
    where tenant_id = ${tenantId} and last_seen_at > ${since}`.execute(tx);
  return rows[0]?.count ?? 0;
}
