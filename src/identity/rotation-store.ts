import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableText } from "../kernel/storable.ts";
import { addFailure } from "./radar-store.ts";
import { REVOCATION_CODES } from "./revocation-reasons.ts";

export interface RotationRow {
  device_id: string;
  step: string;
  error_element: string | null;
  error_message: string | null;
  failures: number;
  serial: string | null;
  started_at: Date;
  updated_at: Date;
}

/** A device's active certificate for a key, in DER where it was kept; the newest. */
export function activeWithKey(tx: Tx, tenantId: string, deviceId: string, publicKeySha256: string) {
  return tx
    .selectFrom("certificates")
    .select(["serial", "ca_id", "certificate_der", "issued_at", "not_after", "first_used_at"])
    .where("tenant_id", "=", tenantId)
    .where("public_key_sha256", "=", publicKeySha256)
    .where("device_id", "=", deviceId)
    .where("status", "=", "active")
    .orderBy("issued_at", "desc")
    .limit(1)
    .executeTakeFirst();
}

/** Certificates issued to a device since a moment; counts no further than `limit`. */
export async function countIssuedSince(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  since: Date,
  limit: number,
): Promise<number> {
  const some = tx
    .selectFrom("certificates")
    .select("serial")
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .where("issued_at", ">", since)
    .limit(limit)
    .as("some");
  const row = await tx
    .selectFrom(some)
    .select((one) => one.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** Marks a certificate as confirmed; undefined where there is none of this device in force. */
export async function markConfirmed(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  serial: string,
  now: Date,
): Promise<{ issuedAt: Date } | undefined> {
  const row = await tx
    .updateTable("certificates")
    .set({ confirmed_at: sql`coalesce(confirmed_at, ${now})` })
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .where("serial", "=", serial)
    .where("status", "!=", "revoked")
    .returning("issued_at")
    .executeTakeFirst();
  return row && { issuedAt: row.issued_at };
}

/** Revokes what a device held before a certificate, and returns the serials. */
export async function revokePredecessors(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  successor: { serial: string; issuedAt: Date },
  now: Date,
): Promise<string[]> {
  const rows = await tx
    .updateTable("certificates")
    .set({
      status: "revoked",
      revoked_at: now,
      revocation_reason: "superseded",
      revocation_code: REVOCATION_CODES.superseded,
      revocation_changed_at: now,
    })
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .where("status", "!=", "revoked")
    .where("serial", "!=", successor.serial)
    .where("issued_at", "<=", successor.issuedAt)
    .returning("serial")
    .execute();
  return rows.map((row) => row.serial);
}

/** Writes down how far a device's rotation is; a new one begins where the last was done. */
export async function recordStep(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  report: { step: string; serial?: string; error?: { element: string; message: string } },
  now: Date,
): Promise<void> {
  const { step, serial, error } = report;
  const failed = error ? 1 : 0;
  const said = {
    error_element: error ? storableText(error.element) : null,
    error_message: error ? storableText(error.message) : null,
  };
  if (error) {
    const failure = {
      ...{ deviceId, at: now, step },
      ...{ element: said.error_element ?? "", message: said.error_message ?? "" },
    };
    await addFailure(tx, tenantId, failure);
  }
  await tx
    .insertInto("certificate_rotations")
    .values({
      tenant_id: tenantId,
      device_id: deviceId,
      step,
      ...said,
      failures: failed,
      serial: serial ?? null,
      started_at: now,
      updated_at: now,
    })
    .onConflict((conflict) =>
      conflict.columns(["tenant_id", "device_id"]).doUpdateSet({
        step,
        ...said,
        failures: sql`case when certificate_rotations.step = 'done' then ${failed}
                           else certificate_rotations.failures + ${failed} end`,
        serial: sql`case when certificate_rotations.step = 'done' then excluded.serial
                         else coalesce(excluded.serial, certificate_rotations.serial) end`,
        started_at: sql`case when certificate_rotations.step = 'done' then excluded.started_at
                             else certificate_rotations.started_at end`,
        updated_at: now,
      }),
    )
    .execute();
}

export function rotationOf(
  tx: Tx,
  tenantId: string,
  deviceId: string,
): Promise<RotationRow | undefined> {
  return tx
    .selectFrom("certificate_rotations")
    .select(["device_id", "step", "error_element", "error_message", "failures", "serial"])
    .select(["started_at", "updated_at"])
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .executeTakeFirst();
}
