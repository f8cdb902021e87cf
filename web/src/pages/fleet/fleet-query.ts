/** Building fleet queries by clicking; what comes out is ordinary query text that can be edited. */

/** A value as the query language wants it. */
export function quote(value: string): string {
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** `field = "value"`; presence is a bare word. */
export function term(field: string, value: string): string {
  return field === "presence" ? `presence = ${value}` : `${field} = ${quote(value)}`;
}

/**
 * Puts a term to the query, or takes it away when it is there; another value of the same field is
 * replaced. A query with `or` outside brackets is bracketed first.
 */
export function toggleTerm(query: string, field: string, value: string): string {
  const wanted = term(field, value);
  const parts = splitTop(query, "and");
  const others = parts.filter((part) => !part.startsWith(`${field} = `));
  if (parts.includes(wanted)) return others.join(" and ");
  const kept = others.map((part) => (splitTop(part, "or").length > 1 ? `(${part})` : part));
  return [...kept, wanted].join(" and ");
}

export function hasTerm(query: string, field: string, value: string): boolean {
  return splitTop(query, "and").includes(term(field, value));
}

/** The parts between a word that stands outside quotes and brackets. */
function splitTop(query: string, word: "and" | "or"): string[] {
  const tokens = query.match(/"(?:[^"\\]|\\.)*"?|[()]|[^\s()"]+|\s+/g) ?? [];
  const parts = [""];
  let depth = 0;
  for (const token of tokens) {
    if (token === "(") depth += 1;
    if (token === ")") depth -= 1;
    if (depth === 0 && token.toLowerCase() === word) parts.push("");
    else parts[parts.length - 1] += token;
  }
  // `a or b and c` must not be taken apart at its `and`: the words bind differently.
  if (word === "and" && parts.length > 1 && parts.some((part) => splitTop(part, "or").length > 1)) {
    return [query.trim()];
  }
  return parts.map((part) => part.trim()).filter(Boolean);
}
