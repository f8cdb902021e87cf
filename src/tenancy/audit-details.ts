import { isDeepStrictEqual } from "node:util";

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

/** What a change made of what was there: only what is not the same, before and after. */
export function auditChange(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): { before: Record<string, unknown>; after: Record<string, unknown> } {
  const changed = Object.keys(after).filter(
    (name) => !isDeepStrictEqual(before[name] ?? null, after[name] ?? null),
  );
  const pick = (of: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(changed.map((name) => [name, of[name] ?? null]));
  return { before: pick(before), after: pick(after) };
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
