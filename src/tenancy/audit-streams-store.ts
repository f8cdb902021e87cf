import type { Selectable } from "kysely";
import type { Schema, Tx } from "../db/index.ts";

export type StreamRow = Omit<Selectable<Schema["audit_streams"]>, "tenant_id">;

export async function insertStream(tx: Tx, tenantId: string, row: StreamRow): Promise<void> {
  await tx
    .insertInto("audit_streams")
    .values({ tenant_id: tenantId, ...row })
    .execute();
}

export function listStreams(tx: Tx, limit: number): Promise<StreamRow[]> {
  return tx.selectFrom("audit_streams").selectAll().orderBy("created_at").limit(limit).execute();
}

export async function deleteStream(tx: Tx, id: string): Promise<string | undefined> {
  const row = await tx
    .deleteFrom("audit_streams")
    .where("id", "=", id)
    .returning("url")
    .executeTakeFirst();
  return row?.url;
}

/** Streams whose time has come, held until `until`, so that no other process sends the same. */
export async function claimDue(
  tx: Tx,
  now: Date,
  until: Date,
  limit: number,
): Promise<StreamRow[]> {
  const due = tx
    .selectFrom("audit_streams")
    .select("id")
    .where("next_attempt_at", "<=", now)
    .orderBy("next_attempt_at")
    .limit(limit)
    .forUpdate()
    .skipLocked();
  return tx
    .updateTable("audit_streams")
    .set({ next_attempt_at: until })
    .where("id", "in", due)
    .returningAll()
    .execute();
}

export async function recordAttempt(
  tx: Tx,
  id: string,
  outcome: Partial<
    Pick<StreamRow, "seq" | "attempts" | "next_attempt_at" | "last_error" | "delivered_at">
  >,
): Promise<void> {
  await tx.updateTable("audit_streams").set(outcome).where("id", "=", id).execute();
}
