import { type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import type { TenantRole } from "../tenancy/index.ts";

export type ApplicationRow = Selectable<Schema["application_certificates"]>;

export async function insertApplication(tx: Tx, row: ApplicationRow): Promise<void> {
  await tx.insertInto("application_certificates").values(row).execute();
}

/** Newest first; serials of one moment in their order. */
export function listApplications(
  tx: Tx,
  filter: { before?: { issuedAt: Date; serial: string } | undefined; limit: number },
): Promise<ApplicationRow[]> {
  const { before, limit } = filter;
  return tx
    .selectFrom("application_certificates")
    .selectAll()
    .$if(before !== undefined, (query) =>
      query.where(
        sql<boolean>`(issued_at, serial) < (${before?.issuedAt}::timestamptz, ${before?.serial})`,
      ),
    )
    .orderBy("issued_at", "desc")
    .orderBy("serial", "desc")
    .limit(limit)
    .execute();
}

/** Certificates that are in use or could be. */
export async function countUsable(tx: Tx, now: Date): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from application_certificates
    where status = 'active' and not_after > ${now}`.execute(tx);
  return rows[0]?.count ?? 0;
}

/** Whether the key is that of a device or of another application, or of a revoked certificate. */
export async function isKeyTaken(tx: Tx, publicKeySha256: string, name: string): Promise<boolean> {
  const { rows } = await sql<{ taken: boolean }>`
    select exists (select from certificates where public_key_sha256 = ${publicKeySha256})
      or exists (select from application_certificates
                 where public_key_sha256 = ${publicKeySha256}
                   and (name <> ${name} or status = 'revoked')) as taken`.execute(tx);
  return rows[0]?.taken === true;
}

/** Revokes one that is in use; undefined where there is none, or it was revoked already. */
export async function revokeApplication(
  tx: Tx,
  serial: string,
  change: { code: number; reason: string; now: Date },
): Promise<ApplicationRow | undefined> {
  return tx
    .updateTable("application_certificates")
    .set({
      status: "revoked",
      revoked_at: change.now,
      revocation_reason: change.reason,
      revocation_code: change.code,
    })
    .where("serial", "=", serial)
    .where("status", "=", "active")
    .returningAll()
    .executeTakeFirst();
}

/** What decides whether a certificate is accepted. */
export interface ApplicationStanding {
  name: string;
  role: TenantRole;
  status: "active" | "revoked";
  fingerprint: string;
  tenantStatus: "active" | "suspended";
  lastUsedAt: Date | null;
}

export async function applicationStanding(
  tx: Tx,
  tenantId: string,
  serial: string,
): Promise<ApplicationStanding | undefined> {
  const { rows } = await sql<ApplicationStanding>`
    select a.name, a.role, a.status, a.fingerprint, t.status as "tenantStatus",
           a.last_used_at as "lastUsedAt"
    from application_certificates a join tenants t on t.id = a.tenant_id
    where a.tenant_id = ${tenantId} and a.serial = ${serial}`.execute(tx);
  return rows[0];
}

export async function touchApplication(tx: Tx, serial: string, now: Date): Promise<void> {
  await tx
    .updateTable("application_certificates")
    .set({ last_used_at: now })
    .where("serial", "=", serial)
    .execute();
}
