import type { Tx } from "../db/index.ts";
import type { TenantRole } from "../tenancy/index.ts";
import type { Condition } from "./conditions.ts";

export interface ServiceAccountRow {
  tenant_id: string;
  id: string;
  name: string;
  issuer: string;
  audience: string;
  conditions: Condition[];
  role: TenantRole;
  scopes: string[] | null;
  lifetime_seconds: number;
  created_by: string;
  created_at: Date;
  last_used_at: Date | null;
}

type Narrow = { role: TenantRole };

export function listServiceAccounts(tx: Tx, tenantId: string): Promise<ServiceAccountRow[]> {
  return tx
    .selectFrom("service_accounts")
    .selectAll()
    .$narrowType<Narrow>()
    .where("tenant_id", "=", tenantId)
    .orderBy("name")
    .execute();
}

export function findServiceAccount(
  tx: Tx,
  tenantId: string,
  name: string,
): Promise<ServiceAccountRow | undefined> {
  return tx
    .selectFrom("service_accounts")
    .selectAll()
    .$narrowType<Narrow>()
    .where("tenant_id", "=", tenantId)
    .where("name", "=", name)
    .executeTakeFirst();
}

export async function insertServiceAccount(tx: Tx, row: ServiceAccountRow): Promise<void> {
  await tx
    .insertInto("service_accounts")
    .values({ ...row, conditions: JSON.stringify(row.conditions) })
    .execute();
}

/** With its keys. Its name, or undefined where there is none. */
export async function deleteServiceAccount(
  tx: Tx,
  tenantId: string,
  id: string,
): Promise<string | undefined> {
  const row = await tx
    .deleteFrom("service_accounts")
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .returning("name")
    .executeTakeFirst();
  return row?.name;
}

/** Locks the account for the transaction; false where it is gone meanwhile. */
export async function touchServiceAccount(
  tx: Tx,
  tenantId: string,
  id: string,
  now: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("service_accounts")
    .set({ last_used_at: now })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Removes those keys of the account that are over, and counts the rest. */
export async function tidyKeys(
  tx: Tx,
  tenantId: string,
  accountId: string,
  now: Date,
): Promise<number> {
  await tx
    .deleteFrom("api_keys")
    .where("tenant_id", "=", tenantId)
    .where("service_account_id", "=", accountId)
    .where("expires_at", "<", now)
    .execute();
  const row = await tx
    .selectFrom("api_keys")
    .select((all) => all.fn.countAll<string>().as("count"))
    .where("tenant_id", "=", tenantId)
    .where("service_account_id", "=", accountId)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** False where the token has been used before; what is over is forgotten. */
export async function useToken(
  tx: Tx,
  token: { tenantId: string; accountId: string; hash: Buffer; expiresAt: Date },
  now: Date,
): Promise<boolean> {
  const { tenantId, accountId, hash, expiresAt } = token;
  await tx
    .deleteFrom("service_account_tokens")
    .where("tenant_id", "=", tenantId)
    .where("expires_at", "<", now)
    .execute();
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto("service_account_tokens")
    .values({
      tenant_id: tenantId,
      service_account_id: accountId,
      token_hash: hash,
      expires_at: expiresAt,
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n;
}

export async function insertServiceKey(
  tx: Tx,
  row: {
    tenant_id: string;
    id: string;
    service_account_id: string;
    name: string;
    role: TenantRole;
    scopes: string[] | null;
    key_hash: Buffer;
    created_by: string;
    created_at: Date;
    expires_at: Date;
  },
): Promise<void> {
  await tx.insertInto("api_keys").values(row).execute();
}
