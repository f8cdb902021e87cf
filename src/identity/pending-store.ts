import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

export type PendingStatus = "pending" | "accepted" | "rejected";

export interface PendingRow {
  id: string;
  device_id: string;
  public_key_sha256: string;
  status: PendingStatus;
  authority: string;
  authority_name: string;
  via: string;
  address: string | null;
  product: string;
  hardware_revision: string;
  region: string;
  tags: Record<string, string>;
  cause: string;
  requested_at: Date;
  last_asked_at: Date;
  expires_at: Date;
  decided_at: Date | null;
  decided_by: string | null;
  decision_reason: string | null;
}

const COLUMNS = [
  "id",
  "device_id",
  "public_key_sha256",
  "status",
  "authority",
  "authority_name",
  "via",
  "address",
  "product",
  "hardware_revision",
  "region",
  "tags",
  "cause",
  "requested_at",
  "last_asked_at",
  "expires_at",
  "decided_at",
  "decided_by",
  "decision_reason",
] as const;

export async function insertPending(tx: Tx, tenantId: string, row: PendingRow): Promise<void> {
  await tx
    .insertInto("pending_enrolments")
    .values({ tenant_id: tenantId, ...row, tags: JSON.stringify(row.tags) })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

export function findPending(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  publicKeySha256: string,
  now: Date,
): Promise<PendingRow | undefined> {
  return tx
    .selectFrom("pending_enrolments")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .where("public_key_sha256", "=", publicKeySha256)
    .where("expires_at", ">", now)
    .executeTakeFirst() as Promise<PendingRow | undefined>;
}

export function pendingById(tx: Tx, tenantId: string, id: string): Promise<PendingRow | undefined> {
  return tx
    .selectFrom("pending_enrolments")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .executeTakeFirst() as Promise<PendingRow | undefined>;
}

/** Newest first. */
export function listPending(
  tx: Tx,
  tenantId: string,
  status: PendingStatus,
  limit: number,
): Promise<PendingRow[]> {
  return tx
    .selectFrom("pending_enrolments")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("status", "=", status)
    .orderBy("requested_at", "desc")
    .limit(limit)
    .execute() as Promise<PendingRow[]>;
}

export async function touchPending(tx: Tx, tenantId: string, id: string, now: Date): Promise<void> {
  await tx
    .updateTable("pending_enrolments")
    .set({ last_asked_at: now })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

/** The device's id, or undefined where nothing of this id waits any more. */
export async function decidePending(
  tx: Tx,
  tenantId: string,
  id: string,
  decision: { status: "accepted" | "rejected"; by: string; reason: string | null; at: Date },
): Promise<string | undefined> {
  const row = await tx
    .updateTable("pending_enrolments")
    .set({
      status: decision.status,
      decided_at: decision.at,
      decided_by: decision.by,
      decision_reason: decision.reason,
    })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("status", "=", "pending")
    .where("expires_at", ">", decision.at)
    .returning("device_id")
    .executeTakeFirst();
  return row?.device_id;
}

/** The others that ask for the same device with other keys. */
export async function rejectRivals(
  tx: Tx,
  tenantId: string,
  winner: { id: string; deviceId: string },
  by: string,
  now: Date,
): Promise<void> {
  await tx
    .updateTable("pending_enrolments")
    .set({
      status: "rejected",
      decided_at: now,
      decided_by: by,
      decision_reason: "another key was accepted for this device",
    })
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", winner.deviceId)
    .where("id", "!=", winner.id)
    .where("status", "=", "pending")
    .execute();
}

/** The device has its certificate: nothing is left to decide. */
export async function removePending(tx: Tx, tenantId: string, deviceId: string): Promise<void> {
  await tx
    .deleteFrom("pending_enrolments")
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .where("status", "!=", "rejected")
    .execute();
}

export async function removeExpired(tx: Tx, tenantId: string, now: Date): Promise<void> {
  await tx
    .deleteFrom("pending_enrolments")
    .where("tenant_id", "=", tenantId)
    .where("expires_at", "<=", now)
    .execute();
}

/** How many wait in all, and for this device; counts no further than `limit`. */
export async function countPending(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  limit: number,
): Promise<{ all: number; device: number }> {
  const some = tx
    .selectFrom("pending_enrolments")
    .select("device_id")
    .where("tenant_id", "=", tenantId)
    .limit(limit)
    .as("some");
  const all = await tx
    .selectFrom(some)
    .select(sql<number>`count(*)`.as("count"))
    .executeTakeFirstOrThrow();
  const device = await tx
    .selectFrom("pending_enrolments")
    .select(sql<number>`count(*)`.as("count"))
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .executeTakeFirstOrThrow();
  return { all: Number(all.count), device: Number(device.count) };
}
