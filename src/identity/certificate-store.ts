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
  const row = await tx
    .selectFrom("certificates as c")
    .innerJoin("devices as d", (join) =>
      join.onRef("d.tenant_id", "=", "c.tenant_id").onRef("d.id", "=", "c.device_id"),
    )
    .innerJoin("tenants as t", "t.id", "c.tenant_id")
    .select(["c.device_id", "c.status", "c.fingerprint", "c.first_used_at", "c.superseded_at"])
    .select(["d.status as device_status", "t.status as tenant_status"])
    .where("c.tenant_id", "=", tenantId)
    .where("c.serial", "=", serial)
    .executeTakeFirst();
  if (!row) return undefined;
  return {
    deviceId: row.device_id,
    status: row.status,
    fingerprint: row.fingerprint,
    firstUsedAt: row.first_used_at,
    supersededAt: row.superseded_at,
    deviceStatus: row.device_status,
    tenantStatus: row.tenant_status,
  };
}

/** Whether this was the first use, now written down. */
export async function markUsed(
  tx: Tx,
  tenantId: string,
  serial: string,
  now: Date,
): Promise<{ deviceId: string; issuedAt: Date } | undefined> {
  const row = await tx
    .updateTable("certificates")
    .set({ first_used_at: now })
    .where("tenant_id", "=", tenantId)
    .where("serial", "=", serial)
    .where("first_used_at", "is", null)
    .returning(["device_id", "issued_at"])
    .executeTakeFirst();
  return row && { deviceId: row.device_id, issuedAt: row.issued_at };
}

/** Active certificates of a device that were issued before `issuedAt` become superseded. */
export async function supersedeOlder(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  issuedAt: Date,
  now: Date,
): Promise<void> {
  await tx
    .updateTable("certificates")
    .set({ status: "superseded", superseded_at: now })
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .where("status", "=", "active")
    .where("issued_at", "<", issuedAt)
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

export async function serialExists(tx: Tx, tenantId: string, serial: string): Promise<boolean> {
  const row = await tx
    .selectFrom("certificates")
    .select("serial")
    .where("tenant_id", "=", tenantId)
    .where("serial", "=", serial)
    .executeTakeFirst();
  return row !== undefined;
}
