import type { Selectable } from "kysely";
import type { Schema, Tx } from "../db/index.ts";

export type QuarantineRow = Selectable<Schema["quarantines"]>;

export async function insertQuarantine(
  tx: Tx,
  tenantId: string,
  row: Pick<QuarantineRow, "id" | "device_id" | "reason" | "set_at" | "set_by">,
): Promise<void> {
  await tx
    .insertInto("quarantines")
    .values({ tenant_id: tenantId, ...row })
    .execute();
}

/** Ends the one in force. */
export async function liftQuarantine(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  change: Pick<QuarantineRow, "lift_reason" | "lifted_at" | "lifted_by">,
): Promise<void> {
  await tx
    .updateTable("quarantines")
    .set(change)
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .where("lifted_at", "is", null)
    .execute();
}

/** Newest first. */
export function quarantinesOf(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  limit: number,
): Promise<QuarantineRow[]> {
  return tx
    .selectFrom("quarantines")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .orderBy("set_at", "desc")
    .limit(limit)
    .execute();
}

export async function setDeviceStatus(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  status: "active" | "quarantined",
): Promise<void> {
  await tx
    .updateTable("devices")
    .set({ status })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", deviceId)
    .execute();
}
