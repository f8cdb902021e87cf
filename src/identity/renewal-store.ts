import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { CertificateRow, DeviceStatus } from "./certificate-store.ts";
import type { HeldCertificate } from "./renewal-decision.ts";

/** Each query serves all renewals of a batch. */

const HELD = [
  "serial",
  "device_id",
  "ca_id",
  "status",
  "public_key_sha256",
  "issued_at",
  "not_after",
  "first_used_at",
  "revocation_reason",
] as const;

/** The devices' statuses, their rows locked in one order, so that batches wait and never deadlock. */
export async function lockDevices(
  tx: Tx,
  tenantId: string,
  deviceIds: readonly string[],
): Promise<Map<string, DeviceStatus>> {
  const rows = await tx
    .selectFrom("devices")
    .select(["id", "status"])
    .where("tenant_id", "=", tenantId)
    .where("id", "=", anyOf(deviceIds))
    .orderBy("id")
    .forUpdate()
    .execute();
  return new Map(rows.map((row) => [row.id, row.status]));
}

/** Certificates by their serials. */
export async function certificatesBySerial(
  tx: Tx,
  tenantId: string,
  serials: readonly string[],
): Promise<Map<string, Pick<HeldCertificate, "device_id" | "status">>> {
  const rows = await tx
    .selectFrom("certificates")
    .select(["serial", "device_id", "status"])
    .where("tenant_id", "=", tenantId)
    .where("serial", "=", anyOf(serials))
    .execute();
  return new Map(rows.map((row) => [row.serial, row]));
}

/** Certificates of any device that hold one of these keys. */
export function certificatesByKey(
  tx: Tx,
  tenantId: string,
  keys: readonly string[],
  limit: number,
): Promise<HeldCertificate[]> {
  return tx
    .selectFrom("certificates")
    .select([...HELD, "certificate_der"])
    .where("tenant_id", "=", tenantId)
    .where("public_key_sha256", "=", anyOf(keys))
    .orderBy("issued_at", "desc")
    .limit(limit)
    .execute();
}

/** Certificates of these devices that are in force, or were issued after `since`. */
export function certificatesOfDevices(
  tx: Tx,
  tenantId: string,
  deviceIds: readonly string[],
  since: Date,
  limit: number,
): Promise<HeldCertificate[]> {
  return tx
    .selectFrom("certificates")
    .select([...HELD, sql<Buffer | null>`null::bytea`.as("certificate_der")])
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", anyOf(deviceIds))
    .where((row) => row.or([row("status", "=", "active"), row("issued_at", ">", since)]))
    .limit(limit)
    .execute();
}

/** Those of these keys that are known to be in other hands. */
export async function compromisedAmong(tx: Tx, keys: readonly string[]): Promise<Set<string>> {
  const rows = await tx
    .selectFrom("compromised_keys")
    .select("public_key_sha256")
    .where("public_key_sha256", "=", anyOf(keys))
    .execute();
  return new Set(rows.map((row) => row.public_key_sha256));
}

export async function insertCertificates(
  tx: Tx,
  tenantId: string,
  rows: readonly (CertificateRow & { certificate_der: Buffer | null })[],
): Promise<void> {
  await tx
    .insertInto("certificates")
    .values(rows.map((row) => ({ tenant_id: tenantId, ...row })))
    .execute();
}

export async function markRenewed(
  tx: Tx,
  tenantId: string,
  deviceIds: readonly string[],
  now: Date,
): Promise<void> {
  await tx
    .updateTable("devices")
    .set({ enrolled_at: now })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", anyOf(deviceIds))
    .execute();
}

/** What a device had waiting for a person is settled by the certificate that it was given. */
export async function removePendingOf(
  tx: Tx,
  tenantId: string,
  deviceIds: readonly string[],
): Promise<void> {
  await tx
    .deleteFrom("pending_enrolments")
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", anyOf(deviceIds))
    .where("status", "!=", "rejected")
    .execute();
}

/** The same statement whatever the number of values: it is planned once. */
function anyOf(values: readonly string[]) {
  return sql<string>`any(${[...values]}::text[])`;
}
