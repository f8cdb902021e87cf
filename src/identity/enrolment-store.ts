import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { DeviceStatus } from "./certificate-store.ts";

export interface DeviceAttributes {
  product: string;
  hardwareRevision: string;
  region?: string | undefined;
  tags?: Record<string, string> | undefined;
}

/** Registers a device that is new; whether it was. */
export async function insertDevice(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  attributes: DeviceAttributes,
  now: Date,
): Promise<boolean> {
  const inserted = await tx
    .insertInto("devices")
    .values({
      tenant_id: tenantId,
      id: deviceId,
      product: attributes.product,
      hardware_revision: attributes.hardwareRevision,
      region: attributes.region ?? "",
      tags: JSON.stringify(attributes.tags ?? {}),
      created_at: now,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning("id")
    .executeTakeFirst();
  if (!inserted) return false;
  await tx
    .insertInto("device_states")
    .values({ tenant_id: tenantId, device_id: deviceId })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return true;
}

/** The device's status, its row locked until the transaction ends. */
export async function lockDevice(
  tx: Tx,
  tenantId: string,
  deviceId: string,
): Promise<DeviceStatus | undefined> {
  const row = await tx
    .selectFrom("devices")
    .select("status")
    .where("tenant_id", "=", tenantId)
    .where("id", "=", deviceId)
    .forUpdate()
    .executeTakeFirst();
  return row?.status;
}

export async function markEnrolled(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  now: Date,
): Promise<void> {
  await tx
    .updateTable("devices")
    .set({
      enrolled_at: now,
      status: sql`case status when 'revoked' then 'active' else status end`,
    })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", deviceId)
    .execute();
}

export async function tenantStatus(
  tx: Tx,
  tenantId: string,
): Promise<"active" | "suspended" | undefined> {
  const row = await tx
    .selectFrom("tenants")
    .select("status")
    .where("id", "=", tenantId)
    .executeTakeFirst();
  return row?.status;
}

/** How many devices the tenant has; counts no further than `limit`. */
export async function countDevices(tx: Tx, tenantId: string, limit: number): Promise<number> {
  const some = tx
    .selectFrom("devices")
    .select("id")
    .where("tenant_id", "=", tenantId)
    .limit(limit)
    .as("some");
  const row = await tx
    .selectFrom(some)
    .select((one) => one.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}
