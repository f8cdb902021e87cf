import { sql } from "kysely";
import type { Database, Tx } from "../db/index.ts";
import { AppError, LIMITS } from "../kernel/index.ts";
import type { CertificateRow } from "./certificate-store.ts";
import { type CertificateView, certificateView } from "./certificate-view.ts";

export interface CertificateFilter {
  status?: CertificateView["status"] | undefined;
  deviceId?: string | undefined;
  /** Such as `ec-p256`; `unknown` for what was issued before that was written down. */
  algorithm?: string | undefined;
  authorityId?: string | undefined;
  expiresBefore?: Date | undefined;
  expiresAfter?: Date | undefined;
  cursor?: string | undefined;
  limit?: number | undefined;
}

export interface CertificatePage {
  items: CertificateView[];
  nextCursor: string | null;
}

const DEFAULT_PAGE = 100;

/** A tenant's certificates, those that end first before the others. */
export async function listCertificates(
  db: Database,
  tenantId: string,
  filter: CertificateFilter,
): Promise<CertificatePage> {
  const limit = Math.min(Math.max(1, filter.limit ?? DEFAULT_PAGE), LIMITS.pageSize);
  const after = filter.cursor === undefined ? undefined : readCursor(filter.cursor);
  const rows = await db.tenant(tenantId, (tx) =>
    certificatesAfter(tx, tenantId, filter, after, limit + 1),
  );
  const page = rows.slice(0, limit);
  const last = rows.length > limit ? page.at(-1) : undefined;
  return {
    items: page.map(certificateView),
    nextCursor: last ? `${last.not_after.getTime()}.${last.serial}` : null,
  };
}

async function certificatesAfter(
  tx: Tx,
  tenantId: string,
  filter: CertificateFilter,
  after: { notAfter: Date; serial: string } | undefined,
  limit: number,
): Promise<CertificateRow[]> {
  const { status, deviceId, algorithm, authorityId, expiresBefore, expiresAfter } = filter;
  const conditions = [
    sql`tenant_id = ${tenantId}`,
    ...(after ? [sql`(not_after, serial) > (${after.notAfter}, ${after.serial})`] : []),
    ...(deviceId === undefined ? [] : [sql`device_id = ${deviceId}`]),
    ...(authorityId === undefined ? [] : [sql`ca_id = ${authorityId}::uuid`]),
    ...(algorithm === undefined ? [] : [sql`coalesce(key_algorithm, 'unknown') = ${algorithm}`]),
    ...(expiresBefore === undefined ? [] : [sql`not_after < ${expiresBefore}`]),
    ...(expiresAfter === undefined ? [] : [sql`not_after >= ${expiresAfter}`]),
    ...(status === undefined ? [] : [statusCondition(status)]),
  ];
  const { rows } = await sql<CertificateRow>`
    select * from certificates where ${sql.join(conditions, sql` and `)}
    order by not_after, serial limit ${limit}`.execute(tx);
  return rows;
}

function statusCondition(status: CertificateView["status"]) {
  if (status === "held") return sql`(status = 'revoked' and revocation_code = 6)`;
  if (status === "revoked") return sql`(status = 'revoked' and revocation_code <> 6)`;
  return sql`status = ${status}`;
}

function readCursor(cursor: string): { notAfter: Date; serial: string } {
  const match = /^(\d{1,15})\.([0-9a-f]{1,64})$/.exec(cursor);
  if (!match) throw new AppError("invalid-cursor", "the cursor belongs to no page of this list");
  return { notAfter: new Date(Number(match[1])), serial: match[2] as string };
}
