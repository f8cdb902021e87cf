import type { Tx } from "../db/index.ts";
import type { PlatformRole, TenantRole } from "./permissions.ts";

export interface UserRow {
  id: string;
  email: string;
  name: string;
  password_hash: string | null;
  platform_role: PlatformRole | null;
  created_at: Date;
  disabled_at: Date | null;
}

/** What the check constraint says and the generated types do not. */
type Narrow = { platform_role: PlatformRole | null };

/** A built-in role, or one of the tenant's own; over all devices, or over those of some groups. */
export interface RoleColumns {
  role: TenantRole | null;
  custom_role: string | null;
  groups: string[] | null;
}

export interface MembershipRow extends RoleColumns {
  tenant_id: string;
  user_id: string;
  /** Of the custom role. */
  permissions: string[] | null;
}

export async function insertUser(tx: Tx, row: UserRow): Promise<void> {
  await tx.insertInto("users").values(row).execute();
}

export function findUserByEmail(tx: Tx, email: string): Promise<UserRow | undefined> {
  return tx
    .selectFrom("users")
    .selectAll()
    .$narrowType<Narrow>()
    .where("email", "=", email)
    .executeTakeFirst();
}

/** Locked until the transaction ends. */
export function lockUser(tx: Tx, id: string): Promise<UserRow | undefined> {
  return tx
    .selectFrom("users")
    .selectAll()
    .$narrowType<Narrow>()
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
}

/** Whether anyone administers the installation. */
export async function hasAdministrator(tx: Tx): Promise<boolean> {
  const row = await tx
    .selectFrom("users")
    .select("id")
    .where("platform_role", "=", "platform-administrator")
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Everyone, or the members of one tenant. */
export function listUsers(tx: Tx, tenantId: string | undefined, limit: number): Promise<UserRow[]> {
  let query = tx.selectFrom("users").selectAll("users").orderBy("email").limit(limit);
  if (tenantId !== undefined) {
    query = query.where("id", "in", (members) =>
      members.selectFrom("memberships").select("user_id").where("tenant_id", "=", tenantId),
    );
  }
  return query.$narrowType<Narrow>().execute();
}

export async function updateUser(
  tx: Tx,
  id: string,
  change: Partial<Pick<UserRow, "password_hash" | "disabled_at">>,
): Promise<void> {
  await tx.updateTable("users").set(change).where("id", "=", id).execute();
}

export function membershipsOf(tx: Tx, userIds: string[]): Promise<MembershipRow[]> {
  if (userIds.length === 0) return Promise.resolve([]);
  return tx
    .selectFrom("memberships")
    .leftJoin("roles", (join) =>
      join
        .onRef("roles.tenant_id", "=", "memberships.tenant_id")
        .onRef("roles.name", "=", "memberships.custom_role"),
    )
    .select(["memberships.tenant_id", "user_id", "role", "custom_role", "groups", "permissions"])
    .where("user_id", "in", userIds)
    .execute();
}

/** The role of a member, whose row is locked where there is one. */
export async function lockMembership(
  tx: Tx,
  tenantId: string,
  userId: string,
): Promise<RoleColumns | undefined> {
  return tx
    .selectFrom("memberships")
    .select(["role", "custom_role", "groups"])
    .where("tenant_id", "=", tenantId)
    .where("user_id", "=", userId)
    .forUpdate()
    .executeTakeFirst();
}

export async function putMembership(
  tx: Tx,
  member: { tenant_id: string; user_id: string },
  role: RoleColumns,
  now: Date,
): Promise<void> {
  await tx
    .insertInto("memberships")
    .values({ ...member, ...role, created_at: now })
    .onConflict((conflict) =>
      conflict.columns(["tenant_id", "user_id"]).doUpdateSet({ ...role, granted_by: null }),
    )
    .execute();
}

export async function deleteMembership(tx: Tx, tenantId: string, userId: string): Promise<void> {
  await tx
    .deleteFrom("memberships")
    .where("tenant_id", "=", tenantId)
    .where("user_id", "=", userId)
    .execute();
}
