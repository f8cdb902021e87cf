import { type RawBuilder, sql } from "kysely";
import type { Tx } from "../db/index.ts";

/** Certificates by serial, or all certificates of devices. */
export type RevocationSelection = { serials: readonly string[] } | { deviceIds: readonly string[] };

export interface ChangedCertificate {
  serial: string;
  deviceId: string;
}

/**
 * Revokes what is in use or on hold. What is revoked for good stays as it is, and a hold changes
 * nothing that is revoked already.
 */
export async function revokeSelected(
  tx: Tx,
  tenantId: string,
  selection: RevocationSelection,
  change: { code: number; hold: boolean; comment: string; now: Date },
): Promise<ChangedCertificate[]> {
  const { code, hold, comment, now } = change;
  const { rows } = await sql<ChangedCertificate>`
    update certificates set
      held_status = ${hold ? sql`status` : sql`null`},
      status = 'revoked',
      revoked_at = case status when 'revoked' then revoked_at else ${now}::timestamptz end,
      revocation_code = ${code},
      revocation_reason = ${comment},
      revocation_changed_at = ${now}
    where tenant_id = ${tenantId} and ${selected(selection)}
      and (status <> 'revoked' ${hold ? sql`` : sql`or revocation_code = 6`})
    returning serial, device_id as "deviceId"`.execute(tx);
  return rows;
}

/** What was on hold is again what it was before. */
export async function restoreSelected(
  tx: Tx,
  tenantId: string,
  selection: RevocationSelection,
  now: Date,
): Promise<ChangedCertificate[]> {
  const { rows } = await sql<ChangedCertificate>`
    update certificates set status = coalesce(held_status, 'active'), held_status = null,
      revoked_at = null, revocation_code = null, revocation_reason = null,
      revocation_changed_at = ${now}
    where tenant_id = ${tenantId} and ${selected(selection)}
      and status = 'revoked' and revocation_code = 6
    returning serial, device_id as "deviceId"`.execute(tx);
  return rows;
}

/** Those of the selection that the tenant has, whatever their status. */
export async function knownOf(
  tx: Tx,
  tenantId: string,
  selection: RevocationSelection,
): Promise<string[]> {
  const found =
    "serials" in selection
      ? sql<{ id: string }>`select serial as id from certificates
          where tenant_id = ${tenantId} and serial = any(${[...selection.serials]}::text[])`
      : sql<{ id: string }>`select id from devices
          where tenant_id = ${tenantId} and id = any(${[...selection.deviceIds]}::text[])`;
  const { rows } = await found.execute(tx);
  return rows.map((row) => row.id);
}

export async function setDevicesRevoked(
  tx: Tx,
  tenantId: string,
  deviceIds: readonly string[],
): Promise<void> {
  await tx
    .updateTable("devices")
    .set({ status: "revoked" })
    .where("tenant_id", "=", tenantId)
    .where("id", "in", [...deviceIds])
    .where("status", "<>", "revoked")
    .execute();
}

function selected(selection: RevocationSelection): RawBuilder<unknown> {
  return "serials" in selection
    ? sql`serial = any(${[...selection.serials]}::text[])`
    : sql`device_id = any(${[...selection.deviceIds]}::text[])`;
}
