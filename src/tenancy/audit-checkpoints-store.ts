import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

export interface CheckpointRow {
  number: number;
  seq: number;
  hash: Buffer;
  at: Date;
  key_id: string;
  signature: Buffer;
}

const COLUMNS = ["number", "seq", "hash", "at", "key_id", "signature"] as const;

export async function insertCheckpoint(
  tx: Tx,
  tenantId: string,
  row: CheckpointRow,
): Promise<void> {
  await tx
    .insertInto("audit_checkpoints")
    .values({ ...row, tenant_id: tenantId })
    .execute();
}

export async function lastCheckpoint(tx: Tx, tenantId: string): Promise<CheckpointRow | undefined> {
  return tx
    .selectFrom("audit_checkpoints")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .orderBy("number", "desc")
    .limit(1)
    .executeTakeFirst();
}

/** In their order, after `number`. */
export async function checkpointsAfter(
  tx: Tx,
  tenantId: string,
  number: number,
  limit: number,
): Promise<CheckpointRow[]> {
  return tx
    .selectFrom("audit_checkpoints")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("number", ">", number)
    .orderBy("number")
    .limit(limit)
    .execute();
}

/** The last checkpoint that was made before `before`, of the first `limit` that are there. */
export async function checkpointBefore(
  tx: Tx,
  tenantId: string,
  before: Date,
  limit: number,
): Promise<CheckpointRow | undefined> {
  const rows = await tx
    .selectFrom("audit_checkpoints")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("at", "<", before)
    .orderBy("number")
    .limit(limit)
    .execute();
  return rows.at(-1);
}

/** Deletes entries up to a checkpoint's, and the checkpoints before it. */
export async function forgetEntries(tx: Tx, tenantId: string, upTo: number): Promise<number> {
  const { rows } = await sql<{ deleted: number }>`
    select vautn.forget_audit(${tenantId}, ${upTo}::bigint) as deleted`.execute(tx);
  return Number(rows[0]?.deleted ?? 0);
}
