import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

export interface RoleRow {
  name: string;
  description: string;
  permissions: string[];
  created_at: Date;
  created_by: string;
  updated_at: Date;
}

export interface RoleUse {
  role: string;
  members: number;
  keys: number;
}

const COLUMNS = [
  "name",
  "description",
  "permissions",
  "created_at",
  "created_by",
  "updated_at",
] as const;

export function listRoles(tx: Tx, limit: number): Promise<RoleRow[]> {
  return tx.selectFrom("roles").select(COLUMNS).orderBy("name").limit(limit).execute();
}

/** Locked until the transaction ends. */
export function lockRole(tx: Tx, name: string): Promise<RoleRow | undefined> {
  return tx
    .selectFrom("roles")
    .select(COLUMNS)
    .where("name", "=", name)
    .forUpdate()
    .executeTakeFirst();
}

export function findRole(tx: Tx, name: string): Promise<RoleRow | undefined> {
  return tx.selectFrom("roles").select(COLUMNS).where("name", "=", name).executeTakeFirst();
}

export async function insertRole(tx: Tx, tenantId: string, row: RoleRow): Promise<void> {
  await tx
    .insertInto("roles")
    .values({ tenant_id: tenantId, ...row })
    .execute();
}

export async function updateRole(tx: Tx, row: RoleRow): Promise<void> {
  const { name, description, permissions, updated_at } = row;
  await tx
    .updateTable("roles")
    .set({ description, permissions, updated_at })
    .where("name", "=", name)
    .execute();
}

export async function deleteRole(tx: Tx, name: string): Promise<void> {
  await tx.deleteFrom("roles").where("name", "=", name).execute();
}

/** How many members and keys in use have each role, by its name. */
export async function countUses(tx: Tx): Promise<RoleUse[]> {
  const { rows } = await sql<RoleUse>`
    select role, sum(members)::int as members, sum(keys)::int as keys from (
      select coalesce(role, custom_role) as role, 1 as members, 0 as keys from memberships
      union all
      select coalesce(role, custom_role), 0, 1 from api_keys where revoked_at is null
    ) as uses group by role`.execute(tx);
  return rows;
}

/** Those of the names that are groups of the tenant. */
export async function knownGroups(tx: Tx, names: readonly string[]): Promise<string[]> {
  const rows = await tx
    .selectFrom("device_groups")
    .select("name")
    .where("name", "in", names)
    .execute();
  return rows.map(({ name }) => name);
}
