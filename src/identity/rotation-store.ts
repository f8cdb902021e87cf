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

export interface StepReport {
  deviceId: string;
  step: string;
  serial?: string | undefined;
  error?: { element: string; message: string } | undefined;
}

/** Writes down how far a device's rotation is; a new one begins where the last was done. */
export function recordStep(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  report: Omit<StepReport, "deviceId">,
  now: Date,
): Promise<void> {
  return recordSteps(tx, tenantId, [{ ...report, deviceId }], now);
}

/** The same for several devices, each named once. */
export async function recordSteps(
  tx: Tx,
  tenantId: string,
  reports: readonly StepReport[],
  now: Date,
): Promise<void> {
  for (const { deviceId, step, error } of reports) {
    if (!error) continue;
    const element = storableText(error.element);
    const message = storableText(error.message);
    await addFailure(tx, tenantId, { deviceId, at: now, step, element, message });
  }
  const rows = reports.map(({ deviceId, step, serial, error }) => ({
    tenant_id: tenantId,
    device_id: deviceId,
    step,
    error_element: error ? storableText(error.element) : null,
    error_message: error ? storableText(error.message) : null,
    failures: error ? 1 : 0,
    serial: serial ?? null,
    started_at: now,
    updated_at: now,
  }));
  await tx
    .insertInto("certificate_rotations")
    .values(rows)
    .onConflict((conflict) =>
      conflict.columns(["tenant_id", "device_id"]).doUpdateSet({
        step: sql`excluded.step`,
        error_element: sql`excluded.error_element`,
        error_message: sql`excluded.error_message`,
        failures: sql`case when certificate_rotations.step = 'done' then excluded.failures
                           else certificate_rotations.failures + excluded.failures end`,
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
