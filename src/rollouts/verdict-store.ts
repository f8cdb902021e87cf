import { type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import type { VerdictBasis } from "./gate/index.ts";
import type { VerdictView } from "./types.ts";

export type VerdictRow = Omit<
  Selectable<Schema["rollout_verdicts"]>,
  "tenant_id" | "rollout_id" | "basis"
>;

/** Appends to the rollout's record; the caller holds its lock, which keeps the numbers in order. */
export async function insertVerdict(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  verdict: Omit<VerdictView, "at" | "numbers" | "seq"> & {
    at: Date;
    numbers: object;
    basis?: VerdictBasis | undefined;
  },
): Promise<void> {
  await sql`
    insert into rollout_verdicts
      (tenant_id, rollout_id, seq, at, stage_index, decision, rule, sentence, numbers, decided_by,
       basis)
    select ${tenantId}, ${rolloutId}, coalesce(max(seq), 0) + 1, ${verdict.at},
           ${verdict.stageIndex}, ${verdict.decision}, ${verdict.rule}, ${verdict.sentence},
           ${JSON.stringify(verdict.numbers)}::jsonb, ${verdict.decidedBy},
           ${verdict.basis ? JSON.stringify(verdict.basis) : null}::jsonb
    from rollout_verdicts where tenant_id = ${tenantId} and rollout_id = ${rolloutId}`.execute(tx);
}

export function findVerdict(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  seq: number,
): Promise<(VerdictRow & { basis: unknown }) | undefined> {
  return tx
    .selectFrom("rollout_verdicts")
    .select(["seq", "at", "stage_index", "decision", "rule", "sentence", "numbers", "decided_by"])
    .select("basis")
    .where("tenant_id", "=", tenantId)
    .where("rollout_id", "=", rolloutId)
    .where("seq", "=", seq)
    .executeTakeFirst();
}

/** Newest first. */
export async function listVerdicts(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  beforeSeq: number | undefined,
  limit: number,
): Promise<VerdictRow[]> {
  let query = tx
    .selectFrom("rollout_verdicts")
    .select(["seq", "at", "stage_index", "decision", "rule", "sentence", "numbers", "decided_by"])
    .where("tenant_id", "=", tenantId)
    .where("rollout_id", "=", rolloutId)
    .orderBy("seq", "desc")
    .limit(limit);
  if (beforeSeq !== undefined) query = query.where("seq", "<", beforeSeq);
  return query.execute();
}
