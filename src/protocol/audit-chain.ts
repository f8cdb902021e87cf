import { createHash } from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";

// docs/protocol/audit-log.md describes the chain for those who check it without us.

/** What an entry's hash covers, besides the hash of the entry before it. */
export interface AuditFacts {
  tenantId: string;
  seq: number;
  at: Date;
  actorKind: string;
  actorId: string;
  actorName: string;
  action: string;
  targetKind: string;
  targetId: string;
  outcome: "done" | "refused";
  address: string | null;
  traceId: string | null;
  details: unknown;
}

/** An entry of a chain and its hash (hex), which stands for all before it. */
export interface AuditCheckpoint {
  seq: number;
  hash: string;
}

/** What the platform signs: the end that a chain had at a moment. Numbers have no gaps. */
export interface SignedAuditCheckpoint extends AuditCheckpoint {
  _type: "audit-checkpoint";
  log: string;
  number: number;
  /** Milliseconds since the epoch. */
  at: number;
}

/**
 * - `missing`: an entry of the middle is not there; `cut`: those of the end, or of the beginning
 *   without a record of it;
 * - `altered`: an entry does not have the hash that it should;
 * - `checkpoint`: the chain fits together and is not the one that was seen or signed before;
 * - `signature`: a checkpoint is not there, or was not signed by the platform's key.
 */
export type AuditFlaw = "missing" | "altered" | "cut" | "checkpoint" | "signature";

export interface BrokenAudit {
  /** Entries before the first one that does not fit. */
  entries: number;
  firstBroken: number;
  reason: AuditFlaw;
}

/** Hash before the first entry of a chain. */
export const AUDIT_CHAIN_START = Buffer.alloc(32);

/** Action of the entry that says up to where (`details.upTo`) older ones were deleted. */
export const AUDIT_FORGET = "audit.forget";

/** SHA-256 over the previous hash and the canonical JSON of the entry. */
export function auditHash(previous: Uint8Array, facts: AuditFacts): Buffer {
  const text = canonicalJson({
    tenantId: facts.tenantId,
    seq: facts.seq,
    at: facts.at.getTime(),
    actorKind: facts.actorKind,
    actorId: facts.actorId,
    actorName: facts.actorName,
    action: facts.action,
    targetKind: facts.targetKind,
    targetId: facts.targetId,
    outcome: facts.outcome,
    address: facts.address,
    traceId: facts.traceId,
    details: facts.details,
  });
  return createHash("sha256").update(previous).update(text).digest();
}

/**
 * Follows a chain from its first entry, or from where older ones were deleted: `next` takes every
 * entry in order, `end` says what is wrong with the whole. Both return what is broken, once.
 */
export class AuditChainCheck {
  readonly #checkpoints: ReadonlyMap<number, string>;
  #seq: number | undefined;
  #hash: Buffer = AUDIT_CHAIN_START;
  #begunAfter = 0;
  #forgotten = 0;

  /** `checkpoints`: hashes (hex) by entry, those that were kept and those that were signed. */
  constructor(checkpoints: readonly AuditCheckpoint[]) {
    const known = new Map<number, string>();
    for (const { seq, hash } of checkpoints) {
      const other = known.get(seq);
      // Two that differ: no chain leads through both.
      known.set(seq, other === undefined || other === hash ? hash : "");
    }
    this.#checkpoints = known;
  }

  /** The last entry that fits. */
  get head(): AuditCheckpoint {
    return { seq: this.#seq ?? 0, hash: this.#hash.toString("hex") };
  }

  /** Where nothing was deleted, 0. */
  get begunAfter(): number {
    return this.#begunAfter;
  }

  next(
    entry: AuditFacts & { hash: Uint8Array; previousHash?: Uint8Array },
  ): BrokenAudit | undefined {
    const begins = this.#seq === undefined;
    if (begins && entry.seq > 1) {
      const before = this.#checkpoints.get(entry.seq - 1);
      if (before === undefined) return this.#broken(1, "cut");
      this.#hash = Buffer.from(before, "hex");
      this.#begunAfter = entry.seq - 1;
      this.#seq = entry.seq - 1;
    }
    const due = (this.#seq ?? 0) + 1;
    if (entry.seq !== due) return this.#broken(due, "missing");
    const hash = auditHash(this.#hash, entry);
    const follows = entry.previousHash === undefined || this.#hash.equals(entry.previousHash);
    if (!follows || !hash.equals(entry.hash)) return this.#broken(due, "altered");
    const kept = this.#checkpoints.get(due);
    if (kept !== undefined && kept !== hash.toString("hex")) return this.#broken(due, "checkpoint");
    this.#seq = due;
    this.#hash = hash;
    if (entry.action === AUDIT_FORGET && entry.outcome === "done") {
      const { upTo } = entry.details as { upTo?: unknown };
      if (typeof upTo === "number") this.#forgotten = Math.max(this.#forgotten, upTo);
    }
    return undefined;
  }

  end(): BrokenAudit | undefined {
    const seq = this.#seq ?? 0;
    if (this.#begunAfter > this.#forgotten) return this.#broken(1, "cut");
    const beyond = [...this.#checkpoints.keys()].some((kept) => kept > seq);
    return beyond ? this.#broken(seq + 1, "cut") : undefined;
  }

  #broken(firstBroken: number, reason: AuditFlaw): BrokenAudit {
    const entries = Math.max(0, (this.#seq ?? 0) - this.#begunAfter);
    return { entries, firstBroken, reason };
  }
}
