import { trace } from "@opentelemetry/api";
import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, LIMITS } from "../kernel/index.ts";
import type { Actor } from "./actor.ts";
import { type AuditFacts, auditDetails, auditHash, auditText, CHAIN_START } from "./audit-chain.ts";
import * as store from "./audit-store.ts";

/** What happened, as its author describes it. Details never hold secrets. */
export interface AuditRecord {
  actor: Actor;
  /** `<kind>.<verb>`, e.g. `device.revoke`. */
  action: string;
  targetKind: string;
  targetId: string;
  outcome: "done" | "refused";
  details?: Record<string, unknown>;
  address?: string | undefined;
  /** Where left out, the trace that is active. */
  traceId?: string | undefined;
}

export interface AuditEntry {
  seq: number;
  at: Date;
  actor: { kind: string; id: string; name: string };
  action: string;
  targetKind: string;
  targetId: string;
  outcome: "done" | "refused";
  address: string | null;
  traceId: string | null;
  details: Record<string, unknown>;
  /** Hex. */
  hash: string;
}

export interface AuditVerification {
  entries: number;
  intact: boolean;
  /** Sequence number of the first entry that does not fit. */
  firstBroken?: number;
  /** `checkpoint`: the chain fits together and is not the one that was seen before. */
  reason?: "missing" | "altered" | "cut" | "checkpoint";
  /** The end of the chain, to be kept elsewhere; absent where it is broken. */
  head?: AuditCheckpoint;
}

/** An entry of a chain and its hash (hex), which stands for all before it. */
export interface AuditCheckpoint {
  seq: number;
  hash: string;
}

export interface Audit {
  /**
   * Adds an entry to the tenant's chain in the caller's transaction (a tenant's or the platform's).
   * It locks the end of the chain until that transaction ends, so call it last.
   */
  record(tx: Tx, tenantId: string, record: AuditRecord): Promise<void>;
  /** The same for several, one after the other in the chain. */
  recordAll(tx: Tx, tenantId: string, records: readonly AuditRecord[]): Promise<void>;
  /** Newest first. */
  list(
    tenantId: string,
    options?: { cursor?: string | undefined; limit?: number; filters?: store.AuditFilters },
  ): Promise<{ items: AuditEntry[]; nextCursor: string | null }>;
  /**
   * Recomputes every hash of the tenant's chain. A checkpoint that was kept outside shows a chain that
   * somebody with all power over the database has made anew.
   */
  verify(tenantId: string, checkpoint?: AuditCheckpoint): Promise<AuditVerification>;
}

const VERIFY_PAGE = 1_000;

export function createAudit({ db, clock }: { db: Database; clock: Clock }): Audit {
  const recordAll: Audit["recordAll"] = async (tx, tenantId, records) => {
    if (records.length === 0) return;
    const head = await store.lockHead(tx, tenantId, CHAIN_START);
    let { seq, hash: previousHash } = head;
    const entries = records.map((record) => {
      seq += 1;
      const facts = factsOf(tenantId, seq, new Date(clock.now()), record);
      const entry = { ...facts, previousHash, hash: auditHash(previousHash, facts) };
      previousHash = entry.hash;
      return entry;
    });
    await store.append(tx, entries);
  };
  return {
    record: (tx, tenantId, record) => recordAll(tx, tenantId, [record]),
    recordAll,

    async list(tenantId, { cursor, limit = 100, filters = {} } = {}) {
      const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
      const before = cursor === undefined ? undefined : parseCursor(cursor);
      const entries = await db.tenant(tenantId, (tx) =>
        store.entriesBefore(tx, tenantId, { before, limit: size + 1, filters }),
      );
      const page = entries.slice(0, size);
      const more = entries.length > size;
      return {
        items: page.map(entryOf),
        nextCursor: more ? String(page.at(-1)?.seq) : null,
      };
    },

    verify: (tenantId, checkpoint) =>
      db.tenant(tenantId, (tx) => verifyChain(tx, tenantId, checkpoint)),
  };
}

async function verifyChain(
  tx: Tx,
  tenantId: string,
  checkpoint: AuditCheckpoint | undefined,
): Promise<AuditVerification> {
  // The head is read first: what others append meanwhile lies beyond it.
  const head = (await store.readHead(tx, tenantId)) ?? { seq: 0, hash: CHAIN_START };
  let previous: Buffer = CHAIN_START;
  let seq = 0;
  while (seq < head.seq) {
    const entries = await store.entriesAfter(tx, tenantId, seq, VERIFY_PAGE);
    for (const entry of entries) {
      if (seq === head.seq) break;
      if (entry.seq !== seq + 1) return broken(seq, seq + 1, "missing");
      if (!entry.previousHash.equals(previous) || !entry.hash.equals(auditHash(previous, entry))) {
        return broken(seq, entry.seq, "altered");
      }
      previous = entry.hash;
      seq = entry.seq;
      if (seq === checkpoint?.seq && previous.toString("hex") !== checkpoint.hash) {
        return broken(seq, seq, "checkpoint");
      }
    }
    if (entries.length === 0) return broken(seq, seq + 1, "cut");
  }
  if (!head.hash.equals(previous)) return broken(seq, head.seq, "altered");
  if (checkpoint && checkpoint.seq > seq) return broken(seq, seq + 1, "cut");
  return { entries: seq, intact: true, head: { seq, hash: previous.toString("hex") } };
}

function broken(
  entries: number,
  firstBroken: number,
  reason: NonNullable<AuditVerification["reason"]>,
): AuditVerification {
  return { entries, intact: false, firstBroken, reason };
}

function factsOf(tenantId: string, seq: number, at: Date, record: AuditRecord): AuditFacts {
  const address = record.address ?? record.actor.address;
  return {
    tenantId,
    seq,
    at,
    actorKind: record.actor.kind,
    actorId: auditText(record.actor.id),
    actorName: auditText(record.actor.name),
    action: record.action,
    targetKind: record.targetKind,
    targetId: auditText(record.targetId),
    outcome: record.outcome,
    address: address === undefined ? null : auditText(address),
    traceId: record.traceId ?? trace.getActiveSpan()?.spanContext().traceId ?? null,
    details: auditDetails(record.details),
  };
}

function entryOf(entry: store.StoredAuditEntry): AuditEntry {
  return {
    seq: entry.seq,
    at: entry.at,
    actor: { kind: entry.actorKind, id: entry.actorId, name: entry.actorName },
    action: entry.action,
    targetKind: entry.targetKind,
    targetId: entry.targetId,
    outcome: entry.outcome,
    address: entry.address,
    traceId: entry.traceId,
    details: entry.details as Record<string, unknown>,
    hash: entry.hash.toString("hex"),
  };
}

function parseCursor(cursor: string): number {
  if (!/^\d{1,15}$/.test(cursor)) throw new AppError("invalid-cursor", "not a page of this list");
  return Number(cursor);
}
