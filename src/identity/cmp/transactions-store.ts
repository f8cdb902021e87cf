import type { Tx } from "../../db/index.ts";

export interface TransactionRow {
  id: Buffer;
  status: "waiting" | "issued" | "confirmed" | "rejected";
  request: string;
  peer_hash: Buffer;
  message: Buffer | null;
  device_id: string;
  certificate_serial: string | null;
  certificate_sha256: string | null;
  certificate_der: Buffer | null;
  created_at: Date;
  expires_at: Date;
}

const COLUMNS = [
  "id",
  "status",
  "request",
  "peer_hash",
  "message",
  "device_id",
  "certificate_serial",
  "certificate_sha256",
  "certificate_der",
  "created_at",
  "expires_at",
] as const;

export function findTransaction(
  tx: Tx,
  tenantId: string,
  id: Buffer,
  now: Date,
): Promise<TransactionRow | undefined> {
  return tx
    .selectFrom("cmp_transactions")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("expires_at", ">", now)
    .executeTakeFirst() as Promise<TransactionRow | undefined>;
}

/** A transaction as it stands now; an earlier state of it is overwritten. */
export async function putTransaction(tx: Tx, tenantId: string, row: TransactionRow): Promise<void> {
  const { id, ...state } = row;
  await tx
    .insertInto("cmp_transactions")
    .values({ tenant_id: tenantId, id, ...state })
    .onConflict((conflict) => conflict.columns(["tenant_id", "id"]).doUpdateSet(state))
    .execute();
}

/** Ends a transaction whose certificate waits for the client's word; whether it did. */
export async function settleTransaction(
  tx: Tx,
  tenantId: string,
  id: Buffer,
  status: "confirmed" | "rejected",
): Promise<boolean> {
  const result = await tx
    .updateTable("cmp_transactions")
    .set({ status })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("status", "=", "issued")
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Removes what has ended; how many are left, counted no further than `limit`. */
export async function pruneTransactions(
  tx: Tx,
  tenantId: string,
  now: Date,
  limit: number,
): Promise<number> {
  await tx
    .deleteFrom("cmp_transactions")
    .where("tenant_id", "=", tenantId)
    .where("expires_at", "<=", now)
    .execute();
  const some = tx
    .selectFrom("cmp_transactions")
    .select("id")
    .where("tenant_id", "=", tenantId)
    .limit(limit)
    .as("some");
  const row = await tx
    .selectFrom(some)
    .select((one) => one.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}
