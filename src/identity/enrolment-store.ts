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

export async function setDeviceRevoked(
  tx: Tx,
  tenantId: string,
  deviceId: string,
): Promise<boolean> {
  const result = await tx
    .updateTable("devices")
    .set({ status: "revoked" })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", deviceId)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
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

export interface ClaimTokenRow {
  id: string;
  name: string;
  device_pattern: string;
  product: string;
  hardware_revision: string;
  region: string;
  tags: Record<string, string>;
  max_uses: number;
  used_count: number;
  created_by: string;
  created_at: Date;
  expires_at: Date;
  revoked_at: Date | null;
}

const CLAIM_COLUMNS = [
  "id",
  "name",
  "device_pattern",
  "product",
  "hardware_revision",
  "region",
  "tags",
  "max_uses",
  "used_count",
  "created_by",
  "created_at",
  "expires_at",
  "revoked_at",
] as const;

export async function insertClaimToken(
  tx: Tx,
  tenantId: string,
  row: ClaimTokenRow & { token_hash: Buffer },
): Promise<void> {
  await tx
    .insertInto("claim_tokens")
    .values({ tenant_id: tenantId, ...row, tags: JSON.stringify(row.tags) })
    .execute();
}

export function listClaimTokens(tx: Tx, tenantId: string, limit: number): Promise<ClaimTokenRow[]> {
  return tx
    .selectFrom("claim_tokens")
    .select(CLAIM_COLUMNS)
    .where("tenant_id", "=", tenantId)
    .orderBy("created_at", "desc")
    .limit(limit)
    .execute();
}

/** The token with its row locked, so that uses are counted one after the other. */
export function lockClaimToken(
  tx: Tx,
  tenantId: string,
  tokenHash: Buffer,
): Promise<ClaimTokenRow | undefined> {
  return tx
    .selectFrom("claim_tokens")
    .select(CLAIM_COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("token_hash", "=", tokenHash)
    .forUpdate()
    .executeTakeFirst();
}

export async function countClaimUse(tx: Tx, tenantId: string, id: string): Promise<void> {
  await tx
    .updateTable("claim_tokens")
    .set({ used_count: sql`used_count + 1` })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

/** The token's name, or undefined where there is none in use. */
export async function revokeClaimToken(
  tx: Tx,
  tenantId: string,
  id: string,
  now: Date,
): Promise<string | undefined> {
  const row = await tx
    .updateTable("claim_tokens")
    .set({ revoked_at: now })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("revoked_at", "is", null)
    .returning("name")
    .executeTakeFirst();
  return row?.name;
}
