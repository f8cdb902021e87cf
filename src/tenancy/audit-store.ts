import { type Selectable, sql } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import type { AuditFacts } from "../protocol/index.ts";

export interface StoredAuditEntry extends AuditFacts {
  previousHash: Buffer;
  hash: Buffer;
}

export interface AuditHead {
  seq: number;
  hash: Buffer;
}

/** The end of a chain, locked until the transaction ends; made when the chain is new. */
export async function lockHead(tx: Tx, tenantId: string, start: Buffer): Promise<AuditHead> {
  const known = await lockedHead(tx, tenantId);
  if (known) return known;
  await tx
    .insertInto("audit_heads")
    .values({ tenant_id: tenantId, seq: 0, hash: start })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const made = await lockedHead(tx, tenantId);
  if (!made) throw new Error("the audit log has no end to add to");
  return made;
}

async function lockedHead(tx: Tx, tenantId: string): Promise<AuditHead | undefined> {
  const { rows } = await sql<AuditHead>`/* prepared: audit-head */
    select seq, hash from audit_heads where tenant_id = ${tenantId} for update`.execute(tx);
  return rows[0];
}

export async function readHead(tx: Tx, tenantId: string): Promise<AuditHead | undefined> {
  return tx
    .selectFrom("audit_heads")
    .select(["seq", "hash"])
    .where("tenant_id", "=", tenantId)
    .executeTakeFirst();
}

/** Adds entries to one chain, in their order, and moves its end. */
export async function append(tx: Tx, entries: readonly StoredAuditEntry[]): Promise<void> {
  const last = entries.at(-1);
  if (!last) return;
  const rows = entries.map((entry) => ({
    seq: entry.seq,
    at: entry.at.toISOString(),
    actor_kind: entry.actorKind,
    actor_id: entry.actorId,
    actor_name: entry.actorName,
    action: entry.action,
    target_kind: entry.targetKind,
    target_id: entry.targetId,
    outcome: entry.outcome,
    address: entry.address,
    trace_id: entry.traceId,
    details: entry.details,
    previous_hash: entry.previousHash.toString("hex"),
    hash: entry.hash.toString("hex"),
  }));
  await sql`/* prepared: audit-append */
    with added as (
      insert into audit_entries
        (tenant_id, seq, at, actor_kind, actor_id, actor_name, action, target_kind, target_id,
         outcome, address, trace_id, details, previous_hash, hash)
      select ${last.tenantId}, r.seq, r.at, r.actor_kind, r.actor_id, r.actor_name, r.action,
             r.target_kind, r.target_id, r.outcome, r.address, r.trace_id, r.details,
             decode(r.previous_hash, 'hex'), decode(r.hash, 'hex')
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r(
        seq bigint, at timestamptz, actor_kind text, actor_id text, actor_name text, action text,
        target_kind text, target_id text, outcome text, address text, trace_id text,
        details jsonb, previous_hash text, hash text)
      order by r.seq
    )
    update audit_heads set seq = ${last.seq}::bigint, hash = ${last.hash}
    where tenant_id = ${last.tenantId}`.execute(tx);
}

/** Entries after `seq` in the order of the chain. */
export async function entriesAfter(
  tx: Tx,
  tenantId: string,
  seq: number,
  limit: number,
): Promise<StoredAuditEntry[]> {
  const rows = await tx
    .selectFrom("audit_entries")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("seq", ">", seq)
    .orderBy("seq")
    .limit(limit)
    .execute();
  return rows.map(entryOf);
}

export interface AuditFilters {
  actorId?: string | undefined;
  action?: string | undefined;
  targetKind?: string | undefined;
  targetId?: string | undefined;
  outcome?: "done" | "refused" | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

/** Newest first, below `before`. */
export async function entriesBefore(
  tx: Tx,
  tenantId: string,
  options: { before: number | undefined; limit: number; filters: AuditFilters },
): Promise<StoredAuditEntry[]> {
  const { before, filters } = options;
  let query = tx
    .selectFrom("audit_entries")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .orderBy("seq", "desc")
    .limit(options.limit);
  if (before !== undefined) query = query.where("seq", "<", before);
  if (filters.actorId) query = query.where("actor_id", "=", filters.actorId);
  if (filters.action) query = query.where("action", "=", filters.action);
  if (filters.targetKind) query = query.where("target_kind", "=", filters.targetKind);
  if (filters.targetId) query = query.where("target_id", "=", filters.targetId);
  if (filters.outcome) query = query.where("outcome", "=", filters.outcome);
  if (filters.from) query = query.where("at", ">=", filters.from);
  if (filters.to) query = query.where("at", "<", filters.to);
  return (await query.execute()).map(entryOf);
}

function entryOf(row: Selectable<Schema["audit_entries"]>): StoredAuditEntry {
  return {
    tenantId: row.tenant_id,
    seq: row.seq,
    at: row.at,
    actorKind: row.actor_kind,
    actorId: row.actor_id,
    actorName: row.actor_name,
    action: row.action,
    targetKind: row.target_kind,
    targetId: row.target_id,
    outcome: row.outcome,
    address: row.address,
    traceId: row.trace_id,
    details: row.details,
    previousHash: row.previous_hash,
    hash: row.hash,
  };
}
