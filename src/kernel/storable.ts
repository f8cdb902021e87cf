/**
 * Text from outside as PostgreSQL can store it. NUL and lone surrogates are legal in JSON and in
 * JavaScript, and would make the whole statement, with everyone else's rows in it, fail.
 */
export function storableText(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  if (text.length <= maxLength && text.isWellFormed() && !text.includes("\0")) return text;
  const whole = text.toWellFormed().replaceAll("\0", "\uFFFD");
  return whole.length <= maxLength ? whole : whole.slice(0, maxLength).toWellFormed();
}

/**
 * `storableJson` of a value that JSON itself can hold (no CBOR): nearly always its own JSON text, in
 * which what cannot be stored would stand escaped.
 */
export function storablePlainJson(value: unknown): string {
  const text = JSON.stringify(value) ?? "null";
  return /\\u(0000|d[89a-f])/i.test(text) ? storableJson(value) : text;
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
