import { createHash } from "node:crypto";
import { canonicalJson } from "../protocol/index.ts";

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

/** Hash before the first entry of a chain. */
export const CHAIN_START = Buffer.alloc(32);

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

const MAX_DETAILS_BYTES = 16 * 1024;
const MAX_DEPTH = 8;
const MAX_TEXT = 512;

/**
 * Details in the form in which they are hashed and stored: what `jsonb` gives back unchanged.
 * Fractions become text, what is too deep or too large is left out and says so.
 */
export function auditDetails(details: unknown): Record<string, unknown> {
  const plain = plainOf(details ?? {}, 0) as Record<string, unknown>;
  const sizeBytes = Buffer.byteLength(JSON.stringify(plain));
  return sizeBytes <= MAX_DETAILS_BYTES ? plain : { omitted: "too large", sizeBytes };
}

/** One line of text that PostgreSQL can hold: no control characters, no broken surrogates. */
export function auditText(text: string): string {
  return text
    .toWellFormed()
    .replace(/\p{Cc}/gu, " ")
    .slice(0, MAX_TEXT)
    .toWellFormed();
}

function plainOf(value: unknown, depth: number): unknown {
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isSafeInteger(value) ? value + 0 : String(value);
  if (typeof value === "string") return value.toWellFormed().replaceAll("\0", " ");
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== "object") return String(value);
  if (depth >= MAX_DEPTH) return "[too deep]";
  if (Array.isArray(value)) return value.map((member) => plainOf(member, depth + 1));
  const entries = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([key, member]) => [key.toWellFormed().replaceAll("\0", " "), plainOf(member, depth + 1)]);
  return Object.fromEntries(entries);
}
