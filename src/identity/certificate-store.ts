import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

export interface CertificateRow {
  serial: string;
  device_id: string;
  ca_id: string;
  status: "active" | "superseded" | "revoked";
  subject: string;
  fingerprint: string;
  public_key_sha256: string;
  not_before: Date;
  not_after: Date;
  issued_at: Date;
  issued_via: string;
  first_used_at: Date | null;
  superseded_at: Date | null;
  revoked_at: Date | null;
  revocation_reason: string | null;
  /** When the device said that it uses it. */
  confirmed_at?: Date | null;
  /** RFC 5280 §5.3.1. */
  revocation_code?: number | null;
  /** Of the certified key, such as `ec-p256`. */
  key_algorithm?: string | null;
}

export type DeviceStatus = "active" | "quarantined" | "revoked";

const COLUMNS = [
  "serial",
  "device_id",
  "ca_id",
  "status",
  "subject",
  "fingerprint",
  "public_key_sha256",
  "not_before",
  "not_after",
  "issued_at",
  "issued_via",
  "first_used_at",
  "superseded_at",
  "revoked_at",
  "revocation_reason",
  "confirmed_at",
  "revocation_code",
  "key_algorithm",
] as const;

export async function insertCertificate(
  tx: Tx,
  tenantId: string,
  row: CertificateRow & { certificate_der?: Buffer | null },
): Promise<void> {
  await tx
    .insertInto("certificates")
    .values({ tenant_id: tenantId, ...row })
    .execute();
}

/** Newest first. */
export function certificatesOf(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  limit: number,
): Promise<CertificateRow[]> {
  return tx
    .selectFrom("certificates")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .orderBy("issued_at", "desc")
    .orderBy("serial")
    .limit(limit)
    .execute();
}

export function findCertificate(
  tx: Tx,
  tenantId: string,
  serial: string,
): Promise<CertificateRow | undefined> {
  return tx
    .selectFrom("certificates")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("serial", "=", serial)
    .executeTakeFirst();
}

/** Certificates of any device of the tenant that hold this key. */
export function certificatesWithKey(
  tx: Tx,
  tenantId: string,
  publicKeySha256: string,
  limit: number,
): Promise<Pick<CertificateRow, "device_id" | "status" | "revocation_reason">[]> {
  return tx
    .selectFrom("certificates")
    .select(["device_id", "status", "revocation_reason"])
    .where("tenant_id", "=", tenantId)
    .where("public_key_sha256", "=", publicKeySha256)
    .limit(limit)
    .execute();
}

/** What decides whether a certificate is accepted, in one look. */
export interface Standing {
  deviceId: string;
  status: CertificateRow["status"];
  fingerprint: string;
  firstUsedAt: Date | null;
  supersededAt: Date | null;
  deviceStatus: DeviceStatus;
  tenantStatus: "active" | "suspended";
}

export async function standingOf(
  tx: Tx,
  tenantId: string,
  serial: string,
): Promise<Standing | undefined> {
  return (await standingsOf(tx, tenantId, [serial])).get(serial);
}

/** By serial; one statement whatever their number. */
export async function standingsOf(
  tx: Tx,
  tenantId: string,
  serials: readonly string[],
): Promise<Map<string, Standing>> {
  const { rows } = await sql<Standing & { serial: string }>`/* prepared: standings */
    select c.serial, c.device_id as "deviceId", c.status, c.fingerprint,
           c.first_used_at as "firstUsedAt", c.superseded_at as "supersededAt",
           d.status as "deviceStatus", t.status as "tenantStatus"
    from certificates c
    join devices d on d.tenant_id = c.tenant_id and d.id = c.device_id
    join tenants t on t.id = c.tenant_id
    where c.tenant_id = ${tenantId} and c.serial = any(${[...serials]}::text[])`.execute(tx);
  return new Map(rows.map(({ serial, ...standing }) => [serial, standing]));
}

/** Those of these certificates that were used for the first time, now written down. */
export async function markUsed(
  tx: Tx,
  tenantId: string,
  serials: readonly string[],
  now: Date,
): Promise<{ deviceId: string; issuedAt: Date }[]> {
  const rows = await tx
    .updateTable("certificates")
    .set({ first_used_at: now })
    .where("tenant_id", "=", tenantId)
    .where("first_used_at", "is", null)
    .where("serial", "=", sql<string>`any(${[...serials]}::text[])`)
    .returning(["device_id", "issued_at"])
    .execute();
  return rows.map((row) => ({ deviceId: row.device_id, issuedAt: row.issued_at }));
}

/** Active certificates of these devices that were issued before `issuedAt` become superseded. */
export async function supersedeOlder(
  tx: Tx,
  tenantId: string,
  used: readonly { deviceId: string; issuedAt: Date }[],
  now: Date,
): Promise<void> {
  if (used.length === 0) return;
  const ids = used.map(({ deviceId }) => deviceId);
  const times = used.map(({ issuedAt }) => issuedAt);
  const older = sql<{ device_id: string; issued_at: Date }>`
    unnest(${ids}::text[], ${times}::timestamptz[])`.as<"used">(sql`used(device_id, issued_at)`);
  await tx
    .updateTable("certificates as c")
    .from(older)
    .set({ status: "superseded", superseded_at: now })
    .where("c.tenant_id", "=", tenantId)
    .whereRef("c.device_id", "=", "used.device_id")
    .where("c.status", "=", "active")
    .whereRef("c.issued_at", "<", "used.issued_at")
    .execute();
}

export async function supersede(
  tx: Tx,
  tenantId: string,
  serials: readonly string[],
  supersededAt: Date,
): Promise<void> {
  if (serials.length === 0) return;
  await tx
    .updateTable("certificates")
    .set({ status: "superseded", superseded_at: supersededAt })
    .where("tenant_id", "=", tenantId)
    .where("serial", "in", serials)
    .execute();
}
