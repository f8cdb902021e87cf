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

/** False when there is no such group. */
export async function deleteGroup(tx: Tx, name: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("device_groups")
    .where("name", "=", name)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
