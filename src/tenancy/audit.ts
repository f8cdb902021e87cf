import { trace } from "@opentelemetry/api";
import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, LIMITS } from "../kernel/index.ts";
import {
  AUDIT_CHAIN_START,
  AuditChainCheck,
  type AuditCheckpoint,
  type AuditFacts,
  type AuditFlaw,
  auditHash,
} from "../protocol/index.ts";
import type { Actor } from "./actor.ts";
import { auditDetails, auditText } from "./audit-details.ts";
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
  /** Those that fit; what was deleted by age is not counted. */
  entries: number;
  intact: boolean;
  /** Sequence number of the first entry that does not fit. */
  firstBroken?: number;
  reason?: AuditFlaw;
  /** The end of the chain, to be kept elsewhere; absent where it is broken. */
  head?: AuditCheckpoint;
  /** Entries up to this one were deleted by age; absent where none were. */
  forgottenUpTo?: number;
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
   * Recomputes every hash of the tenant's chain, which must lead through the checkpoints, and may
   * begin at one of them where older entries were deleted by age.
   */
  verify(tenantId: string, checkpoints?: readonly AuditCheckpoint[]): Promise<AuditVerification>;
}

const VERIFY_PAGE = 1_000;

export function createAudit({ db, clock }: { db: Database; clock: Clock }): Audit {
  const recordAll: Audit["recordAll"] = async (tx, tenantId, records) => {
    if (records.length === 0) return;
    const head = await store.lockHead(tx, tenantId, AUDIT_CHAIN_START);
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

    verify: (tenantId, checkpoints = []) =>
      db.tenant(tenantId, (tx) => verifyChain(tx, tenantId, checkpoints)),
  };
}

async function verifyChain(
  tx: Tx,
  tenantId: string,
  checkpoints: readonly AuditCheckpoint[],
): Promise<AuditVerification> {
  // The head is read first: what others append meanwhile lies beyond it.
  const head = (await store.readHead(tx, tenantId)) ?? { seq: 0, hash: AUDIT_CHAIN_START };
  const check = new AuditChainCheck(checkpoints);
  let seq = 0;
  while (seq < head.seq) {
    const entries = await store.entriesAfter(tx, tenantId, seq, VERIFY_PAGE);
    for (const entry of entries) {
      if (entry.seq > head.seq) break;
      const flaw = check.next(entry);
      if (flaw) return { intact: false, ...flaw };
      seq = entry.seq;
    }
    if (seq < head.seq && entries.length < VERIFY_PAGE) return cut(check);
  }
  if (seq > 0 && head.hash.toString("hex") !== check.head.hash) {
    return { entries: seq - 1, intact: false, firstBroken: seq, reason: "altered" };
  }
  const flaw = check.end();
  if (flaw) return { intact: false, ...flaw };
  const forgotten = check.begunAfter > 0 ? { forgottenUpTo: check.begunAfter } : {};
  return { entries: seq - check.begunAfter, intact: true, head: check.head, ...forgotten };
}

function cut({ head, begunAfter }: AuditChainCheck): AuditVerification {
  const entries = Math.max(0, head.seq - begunAfter);
  return { entries, intact: false, firstBroken: head.seq + 1, reason: "cut" };
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
