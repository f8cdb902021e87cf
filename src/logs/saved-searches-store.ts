import type { Tx } from "../db/index.ts";

/** What a search asks for, as the operators' API takes it. */
export type SavedFilter = Readonly<Record<string, string | number>>;

export interface SavedSearch {
  name: string;
  filter: SavedFilter;
  /** ISO 8601. */
  updatedAt: string;
  updatedBy: string;
}

export const SEARCHES_PER_TENANT = 200;

export async function listSearches(tx: Tx): Promise<SavedSearch[]> {
  const rows = await tx
    .selectFrom("log_searches")
    .select(["name", "filter", "updated_at", "updated_by"])
    .orderBy("name")
    .limit(SEARCHES_PER_TENANT)
    .execute();
  return rows.map((row) => ({
    name: row.name,
    filter: row.filter as SavedFilter,
    updatedAt: row.updated_at.toISOString(),
    updatedBy: row.updated_by,
  }));
}

export async function countSearches(tx: Tx): Promise<number> {
  const { count } = await tx
    .selectFrom("log_searches")
    .select((eb) => eb.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** False when the name is taken. */
export async function insertSearch(
  tx: Tx,
  tenantId: string,
  search: { name: string; filter: SavedFilter },
  by: { name: string; at: Date },
): Promise<boolean> {
  const row = await tx
    .insertInto("log_searches")
    .values({
      ...{ tenant_id: tenantId, name: search.name, filter: JSON.stringify(search.filter) },
      ...{ updated_at: by.at, updated_by: by.name },
    })
    .onConflict((conflict) => conflict.columns(["tenant_id", "name"]).doNothing())
    .returning("name")
    .executeTakeFirst();
  return row !== undefined;
}

/** False when there is none of this name. */
export async function replaceSearch(
  tx: Tx,
  search: { name: string; filter: SavedFilter },
  by: { name: string; at: Date },
): Promise<boolean> {
  const row = await tx
    .updateTable("log_searches")
    .set({
      ...{ filter: JSON.stringify(search.filter), updated_at: by.at, updated_by: by.name },
    })
    .where("name", "=", search.name)
    .returning("name")
    .executeTakeFirst();
  return row !== undefined;
}

/** False when there is none of this name. */
export async function deleteSearch(tx: Tx, name: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("log_searches")
    .where("name", "=", name)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
