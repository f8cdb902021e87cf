/**
 * The one byte sequence for a JSON value that signatures are made over: the canonical JSON that the
 * TUF specification names (OLPC's): keys sorted, no white space, integers only, and in strings
 * nothing escaped but the quote and the backslash.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return canonicalString(value);
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) throw new TypeError("signed numbers must be safe integers");
    return String(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object") {
    const entries = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([left], [right]) => compareKeys(left, right))
      .map(([key, member]) => `${canonicalString(key)}:${canonicalJson(member)}`);
    return `{${entries.join(",")}}`;
  }
  throw new TypeError(`a signed document cannot hold a ${typeof value}`);
}

function canonicalString(text: string): string {
  // Its bytes would be those of another text.
  if (!text.isWellFormed()) throw new TypeError("signed text must be valid Unicode");
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

/** By code point: comparing code units would put a surrogate pair before U+E000 and above. */
function compareKeys(left: string, right: string): number {
  if (left === right) return 0;
  if (!/[\ud800-\udfff]/.test(left + right)) return left < right ? -1 : 1;
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}
