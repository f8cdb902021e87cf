/**
 * Text from outside as PostgreSQL can store it. NUL and lone surrogates are legal in JSON and in
 * JavaScript, and would make the whole statement, with everyone else's rows in it, fail.
 */
export function storableText(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  const whole = text.toWellFormed().replaceAll("\0", "\uFFFD");
  return whole.length <= maxLength ? whole : whole.slice(0, maxLength).toWellFormed();
}

/** JSON text of a value from outside that PostgreSQL accepts as `jsonb`; see `storableText`. */
export function storableJson(value: unknown): string {
  return JSON.stringify(storable(value) ?? null);
}

function storable(value: unknown): unknown {
  if (typeof value === "string") return storableText(value);
  // CBOR knows integers that JSON numbers cannot hold.
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map(storable);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value !== "object" || value === null) return value;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(
    entries.map(([key, member]) => [storableText(String(key)), storable(member)]),
  );
}
