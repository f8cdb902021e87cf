import type { Tx } from "../db/index.ts";
import type { TenantRole } from "../tenancy/index.ts";

/** Whoever has `value` in the claim has the role; the first that fits a tenant counts. */
export interface RoleMapping {
  claim: string;
  value: string;
  tenantId: string;
  role: TenantRole;
}

export interface ProviderRow {
  id: string;
  name: string;
  issuer: string;
  client_id: string;
  client_secret_sealed: Buffer | null;
  scopes: string[];
  links_by_email: boolean;
  creates_users: boolean;
  email_domains: string[];
  role_mappings: RoleMapping[];
  enabled: boolean;
  created_at: Date;
  updated_at: Date;
}

export function listProviders(tx: Tx): Promise<ProviderRow[]> {
  return tx.selectFrom("sign_in_providers").selectAll().orderBy("name").orderBy("id").execute();
}

export function findProvider(tx: Tx, id: string): Promise<ProviderRow | undefined> {
  return tx.selectFrom("sign_in_providers").selectAll().where("id", "=", id).executeTakeFirst();
}

/** Locked until the transaction ends. */
export function lockProvider(tx: Tx, id: string): Promise<ProviderRow | undefined> {
  return tx
    .selectFrom("sign_in_providers")
    .selectAll()
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
}

export async function countProviders(tx: Tx): Promise<number> {
  const row = await tx
    .selectFrom("sign_in_providers")
    .select((all) => all.fn.countAll<string>().as("count"))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

export async function insertProvider(tx: Tx, row: ProviderRow): Promise<void> {
  const mappings = JSON.stringify(row.role_mappings);
  await tx
    .insertInto("sign_in_providers")
    .values({ ...row, role_mappings: mappings })
    .execute();
}

export async function updateProvider(tx: Tx, row: ProviderRow): Promise<void> {
  const mappings = JSON.stringify(row.role_mappings);
  await tx
    .updateTable("sign_in_providers")
    .set({ ...row, role_mappings: mappings })
    .where("id", "=", row.id)
    .execute();
}

/** With it go its identities, its sessions and the memberships that it has granted. */
export async function deleteProvider(tx: Tx, id: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("sign_in_providers")
    .where("id", "=", id)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

export async function revokeSessionsByProvider(tx: Tx, id: string, now: Date): Promise<void> {
  await tx
    .updateTable("sessions")
    .set({ revoked_at: now })
    .where("provider_id", "=", id)
    .where("revoked_at", "is", null)
    .execute();
}

export async function revokeIdentitySessions(
  tx: Tx,
  userId: string,
  providerId: string,
  now: Date,
): Promise<void> {
  await tx
    .updateTable("sessions")
    .set({ revoked_at: now })
    .where("user_id", "=", userId)
    .where("provider_id", "=", providerId)
    .where("revoked_at", "is", null)
    .execute();
}

/** Those of the tenants that exist. */
export async function existingTenants(tx: Tx, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const rows = await tx.selectFrom("tenants").select("id").where("id", "in", ids).execute();
  return rows.map(({ id }) => id);
}
