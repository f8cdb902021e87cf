import { sql } from "kysely";
import { isUniqueViolation, type Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import type { DeviceGroup } from "./types.ts";

export const GROUPS_PER_TENANT = 500;

export async function insertGroup(
  tx: Tx,
  tenantId: string,
  group: { name: string; query: string; createdAt: Date },
): Promise<void> {
  const { count } = await tx
    .selectFrom("device_groups")
    .select((eb) => eb.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  if (count >= GROUPS_PER_TENANT) {
    throw new AppError("quota-exceeded", `a tenant has at most ${GROUPS_PER_TENANT} groups`);
  }
  try {
    await tx
      .insertInto("device_groups")
      .values({
        tenant_id: tenantId,
        name: group.name,
        query: group.query,
        created_at: group.createdAt,
      })
      .execute();
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new AppError("already-exists", `group ${group.name} exists`, {}, { cause: error });
  }
}

export async function listGroups(tx: Tx): Promise<DeviceGroup[]> {
  const rows = await tx
    .selectFrom("device_groups")
    .selectAll()
    .orderBy("name")
    .limit(GROUPS_PER_TENANT)
    .execute();
  return rows.map((row) => ({
    name: row.name,
    query: row.query,
    createdAt: row.created_at.toISOString(),
  }));
}

/** The queries of those of the groups that there are. */
export async function queriesOf(tx: Tx, names: readonly string[]): Promise<string[]> {
  const rows = await tx
    .selectFrom("device_groups")
    .select("query")
    .where("name", "in", names)
    .orderBy("name")
    .execute();
  return rows.map(({ query }) => query);
}

/** Whether a member, or a key in use, is confined to the group. */
export async function isConfining(tx: Tx, name: string): Promise<boolean> {
  const { rows } = await sql<{ used: boolean }>`
    select exists (select from memberships where ${name} = any(groups))
        or exists (select from api_keys where revoked_at is null and ${name} = any(groups))
        as used`.execute(tx);
  return rows[0]?.used ?? false;
}

/** False when there is no such group. */
export async function deleteGroup(tx: Tx, name: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("device_groups")
    .where("name", "=", name)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
