import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { AlertPolicyDocument } from "./policy-document.ts";

export interface PolicyRow {
  document: AlertPolicyDocument;
  updated_at: Date;
  updated_by: string;
}

export async function readPolicyRow(tx: Tx, tenantId: string): Promise<PolicyRow | undefined> {
  const row = await tx
    .selectFrom("alert_policies")
    .select(["document", "updated_at", "updated_by"])
    .where("tenant_id", "=", tenantId)
    .executeTakeFirst();
  return row as PolicyRow | undefined;
}

export async function writePolicyRow(tx: Tx, tenantId: string, row: PolicyRow): Promise<void> {
  const document = JSON.stringify(row.document);
  await tx
    .insertInto("alert_policies")
    .values({ ...row, document, tenant_id: tenantId })
    .onConflict((conflict) =>
      conflict.column("tenant_id").doUpdateSet({
        document,
        updated_at: row.updated_at,
        updated_by: row.updated_by,
      }),
    )
    .execute();
}

/** One change of a tenant's policy, or of the channels that it names, at a time. */
export async function lockPolicy(tx: Tx, tenantId: string): Promise<void> {
  const key = `alert-policy:${tenantId}`;
  await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx);
}
