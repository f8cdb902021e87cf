import type { Tx } from "../db/index.ts";

export interface TenantRow {
  id: string;
  name: string;
  status: "active" | "suspended";
  settings: Record<string, unknown>;
  created_at: Date;
  deletes_at: Date | null;
}

const COLUMNS = ["id", "name", "status", "settings", "created_at", "deletes_at"] as const;

export async function insertTenant(tx: Tx, row: TenantRow): Promise<void> {
  await tx
    .insertInto("tenants")
    .values({ ...row, settings: JSON.stringify(row.settings) })
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

export async function updateTenant(
  tx: Tx,
  id: string,
  change: { settings?: Record<string, unknown>; status?: TenantRow["status"] },
): Promise<void> {
  await tx
    .updateTable("tenants")
    .set({
      ...(change.settings ? { settings: JSON.stringify(change.settings) } : {}),
      ...(change.status ? { status: change.status } : {}),
    })
    .where("id", "=", id)
    .execute();
}

export async function deleteTenant(tx: Tx, id: string): Promise<void> {
  await tx.deleteFrom("tenants").where("id", "=", id).execute();
}
