import type { Tx } from "../db/index.ts";
import type { PlatformRole, TenantRole } from "../tenancy/index.ts";

/** A user as signing in sees them. */
export interface AccountRow {
  id: string;
  email: string;
  name: string;
  password_hash: string | null;
  platform_role: PlatformRole | null;
  disabled_at: Date | null;
}

const ACCOUNT = ["id", "email", "name", "password_hash", "platform_role", "disabled_at"] as const;
type Narrow = { platform_role: PlatformRole | null };

export function findAccountByEmail(tx: Tx, email: string): Promise<AccountRow | undefined> {
  return tx
    .selectFrom("users")
    .select(ACCOUNT)
    .$narrowType<Narrow>()
    .where("email", "=", email)
    .executeTakeFirst();
}

export function findAccount(tx: Tx, id: string): Promise<AccountRow | undefined> {
  return tx
    .selectFrom("users")
    .select(ACCOUNT)
    .$narrowType<Narrow>()
    .where("id", "=", id)
    .executeTakeFirst();
}

/** Locked until the transaction ends. */
export function lockAccount(tx: Tx, id: string): Promise<AccountRow | undefined> {
  return tx
    .selectFrom("users")
    .select(ACCOUNT)
    .$narrowType<Narrow>()
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
}

/** Somebody whom a provider vouches for: without a password, and with no right of their own. */
export async function insertAccount(
  tx: Tx,
  { id, email, name, now }: { id: string; email: string; name: string; now: Date },
): Promise<void> {
  await tx.insertInto("users").values({ id, email, name, created_at: now }).execute();
}

export interface IdentityRow {
  provider_id: string;
  subject: string;
  user_id: string;
  email: string | null;
  created_at: Date;
  last_used_at: Date | null;
}

export function findIdentity(
  tx: Tx,
  providerId: string,
  subject: string,
): Promise<IdentityRow | undefined> {
  return tx
    .selectFrom("user_identities")
    .selectAll()
    .where("provider_id", "=", providerId)
    .where("subject", "=", subject)
    .executeTakeFirst();
}

export function identitiesOf(tx: Tx, userId: string): Promise<IdentityRow[]> {
  return tx
    .selectFrom("user_identities")
    .selectAll()
    .where("user_id", "=", userId)
    .orderBy("provider_id")
    .execute();
}

export async function insertIdentity(tx: Tx, row: IdentityRow): Promise<void> {
  await tx.insertInto("user_identities").values(row).execute();
}

export async function touchIdentity(
  tx: Tx,
  row: Pick<IdentityRow, "provider_id" | "subject">,
  email: string | null,
  now: Date,
): Promise<void> {
  await tx
    .updateTable("user_identities")
    .set({ email, last_used_at: now })
    .where("provider_id", "=", row.provider_id)
    .where("subject", "=", row.subject)
    .execute();
}

export async function deleteIdentity(tx: Tx, userId: string, providerId: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("user_identities")
    .where("user_id", "=", userId)
    .where("provider_id", "=", providerId)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

export interface GrantRow {
  tenant_id: string;
  role: TenantRole;
  /** The provider whose mapping has made it; null where a person has. */
  granted_by: string | null;
}

export function grantsOf(tx: Tx, userId: string): Promise<GrantRow[]> {
  return tx
    .selectFrom("memberships")
    .select(["tenant_id", "role", "granted_by"])
    .where("user_id", "=", userId)
    .$narrowType<{ role: TenantRole }>()
    .execute();
}

export async function putGrant(
  tx: Tx,
  row: GrantRow & { user_id: string },
  now: Date,
): Promise<void> {
  await tx
    .insertInto("memberships")
    .values({ ...row, created_at: now })
    .onConflict((conflict) =>
      conflict
        .columns(["tenant_id", "user_id"])
        .doUpdateSet({ role: row.role, custom_role: null, groups: null }),
    )
    .execute();
}

export async function deleteGrant(
  tx: Tx,
  userId: string,
  tenantId: string,
  providerId: string,
): Promise<void> {
  await tx
    .deleteFrom("memberships")
    .where("tenant_id", "=", tenantId)
    .where("user_id", "=", userId)
    .where("granted_by", "=", providerId)
    .execute();
}
