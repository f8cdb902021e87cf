import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

export interface PreauthorisedRow {
  device_id: string;
  serial_number: string | null;
  product: string;
  hardware_revision: string;
  region: string;
  tags: Record<string, string>;
  public_key_sha256: string | null;
  added_by: string;
  added_at: Date;
  enrolled_at: Date | null;
}

const COLUMNS = [
  "device_id",
  "serial_number",
  "product",
  "hardware_revision",
  "region",
  "tags",
  "public_key_sha256",
  "added_by",
  "added_at",
  "enrolled_at",
] as const;

/** Writes an entry, or what has changed of one; whether it was new. */
export async function putEntry(tx: Tx, tenantId: string, row: PreauthorisedRow): Promise<boolean> {
  const { device_id, enrolled_at, ...rest } = row;
  const changes = { ...rest, tags: JSON.stringify(row.tags) };
  const { isNew } = await tx
    .insertInto("preauthorised_devices")
    .values({ tenant_id: tenantId, device_id, enrolled_at, ...changes })
    .onConflict((conflict) => conflict.columns(["tenant_id", "device_id"]).doUpdateSet(changes))
    // A row that was inserted has no deleting transaction; one that was updated has.
    .returning(sql<boolean>`xmax = 0`.as("isNew"))
    .executeTakeFirstOrThrow();
  return isNew;
}

export function listEntries(
  tx: Tx,
  tenantId: string,
  afterDeviceId: string,
  limit: number,
): Promise<PreauthorisedRow[]> {
  return tx
    .selectFrom("preauthorised_devices")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("device_id", ">", afterDeviceId)
    .orderBy("device_id")
    .limit(limit)
    .execute() as Promise<PreauthorisedRow[]>;
}

export function entryOf(
  tx: Tx,
  tenantId: string,
  deviceId: string,
): Promise<PreauthorisedRow | undefined> {
  return tx
    .selectFrom("preauthorised_devices")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .executeTakeFirst() as Promise<PreauthorisedRow | undefined>;
}

export function entryWithKey(
  tx: Tx,
  tenantId: string,
  publicKeySha256: string,
): Promise<PreauthorisedRow | undefined> {
  return tx
    .selectFrom("preauthorised_devices")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("public_key_sha256", "=", publicKeySha256)
    .executeTakeFirst() as Promise<PreauthorisedRow | undefined>;
}

/** How many there are; counts no further than `limit`. */
export async function countEntries(tx: Tx, tenantId: string, limit: number): Promise<number> {
  const some = tx
    .selectFrom("preauthorised_devices")
    .select("device_id")
    .where("tenant_id", "=", tenantId)
    .limit(limit)
    .as("some");
  const row = await tx
    .selectFrom(some)
    .select((one) => one.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

export async function markEntryEnrolled(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  now: Date,
): Promise<void> {
  await tx
    .updateTable("preauthorised_devices")
    .set({ enrolled_at: now })
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .execute();
}

export async function deleteEntry(tx: Tx, tenantId: string, deviceId: string): Promise<boolean> {
  const result = await tx
    .deleteFrom("preauthorised_devices")
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .executeTakeFirst();
  return result.numDeletedRows > 0n;
}
