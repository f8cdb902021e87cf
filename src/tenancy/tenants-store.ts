import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

export interface TenantRow {
  id: string;
  name: string;
  status: "active" | "suspended";
  settings: Record<string, unknown>;
  storage_class: "shared" | "separate";
  storage_move: StorageMoveRow | null;
  created_at: Date;
  deletes_at: Date | null;
}

/** While a tenant's rows and blobs are on their way to where its class has them. */
export interface StorageMoveRow {
  since: string;
  /** Tables. */
  done: number;
  of: number;
  /** It is active again afterwards. */
  resumes: boolean;
  /** All of it is there as well: readers look there from now on. */
  copiedAt?: string | null;
  /** Somebody copies until then, unless it is said anew: nothing is deleted meanwhile. */
  busyUntil?: string | null;
}

const COLUMNS = [
  ...(["id", "name", "status", "settings", "storage_class", "storage_move"] as const),
  ...(["created_at", "deletes_at"] as const),
];

export async function insertTenant(tx: Tx, row: TenantRow): Promise<void> {
  await tx
    .insertInto("tenants")
    .values({ ...row, settings: JSON.stringify(row.settings), storage_move: null })
    .execute();
}

/** Whether the id was ever a tenant's: its audit chain outlives it. */
export async function wasUsed(tx: Tx, id: string): Promise<boolean> {
  const head = await tx
    .selectFrom("audit_heads")
    .select("seq")
    .where("tenant_id", "=", id)
    .executeTakeFirst();
  return head !== undefined;
}

export function findTenant(tx: Tx, id: string): Promise<TenantRow | undefined> {
  return tx.selectFrom("tenants").select(COLUMNS).where("id", "=", id).executeTakeFirst();
}

/** The same, locked until the transaction ends. */
export function lockTenant(tx: Tx, id: string): Promise<TenantRow | undefined> {
  return tx
    .selectFrom("tenants")
    .select(COLUMNS)
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
}

export function listTenants(tx: Tx, limit: number): Promise<TenantRow[]> {
  return tx.selectFrom("tenants").select(COLUMNS).orderBy("id").limit(limit).execute();
}

/** One at a time becomes one that is kept apart. */
export async function lockSeparate(tx: Tx): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended('storage-class', 0))`.execute(tx);
}

export async function listSeparate(tx: Tx): Promise<string[]> {
  const rows = await tx
    .selectFrom("tenants")
    .select("id")
    .where("storage_class", "=", "separate")
    .orderBy("id")
    .execute();
  return rows.map(({ id }) => id);
}

/** Tenants whose rows are on their way. */
export function listMoving(tx: Tx): Promise<TenantRow[]> {
  return tx
    .selectFrom("tenants")
    .select(COLUMNS)
    .where("storage_move", "is not", null)
    .orderBy("id")
    .execute() as Promise<TenantRow[]>;
}

export async function updateTenant(
  tx: Tx,
  id: string,
  change: Partial<Pick<TenantRow, "settings" | "status" | "storage_class" | "storage_move">>,
): Promise<void> {
  await tx
    .updateTable("tenants")
    .set({
      ...(change.settings ? { settings: JSON.stringify(change.settings) } : {}),
      ...(change.status ? { status: change.status } : {}),
      ...(change.storage_class ? { storage_class: change.storage_class } : {}),
      ...(change.storage_move === undefined
        ? {}
        : { storage_move: change.storage_move && JSON.stringify(change.storage_move) }),
    })
    .where("id", "=", id)
    .execute();
}

export async function deleteTenant(tx: Tx, id: string): Promise<void> {
  await tx.deleteFrom("tenants").where("id", "=", id).execute();
}
