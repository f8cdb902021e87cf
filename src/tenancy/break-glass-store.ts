import type { Tx } from "../db/index.ts";
import type { BreakGlassRole } from "./permissions.ts";

export interface BreakGlassRow {
  id: string;
  tenant_id: string;
  user_id: string;
  role: BreakGlassRole;
  reason: string;
  opened_at: Date;
  expires_at: Date;
  ended_at: Date | null;
}

export async function insertBreakGlass(tx: Tx, row: BreakGlassRow): Promise<void> {
  await tx.insertInto("break_glass").values(row).execute();
}

/** What a person may enter at this moment. */
export function openOnes(tx: Tx, userId: string, now: Date): Promise<BreakGlassRow[]> {
  return tx
    .selectFrom("break_glass")
    .selectAll()
    .where("user_id", "=", userId)
    .where("expires_at", ">", now)
    .where("ended_at", "is", null)
    .$narrowType<{ role: BreakGlassRole }>()
    .execute();
}

/** Ends a person's entries into a tenant; their ids. */
export async function endOnes(
  tx: Tx,
  tenantId: string,
  userId: string,
  now: Date,
): Promise<string[]> {
  const rows = await tx
    .updateTable("break_glass")
    .set({ ended_at: now })
    .where("tenant_id", "=", tenantId)
    .where("user_id", "=", userId)
    .where("expires_at", ">", now)
    .where("ended_at", "is", null)
    .returning("id")
    .execute();
  return rows.map(({ id }) => id);
}

/** Newest first, with who it was. */
export function listBreakGlass(tx: Tx, tenantId: string, limit: number) {
  return tx
    .selectFrom("break_glass")
    .innerJoin("users", "users.id", "break_glass.user_id")
    .selectAll("break_glass")
    .select("users.email")
    .where("tenant_id", "=", tenantId)
    .orderBy("opened_at", "desc")
    .orderBy("break_glass.id", "desc")
    .limit(limit)
    .$narrowType<{ role: BreakGlassRole }>()
    .execute();
}
