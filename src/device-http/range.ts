/** The part of the content that a request asks for (RFC 9110 §14). */
export type RangeDecision =
  | { kind: "whole" }
  | { kind: "part"; start: number; end: number }
  | { kind: "unsatisfiable" };

const WHOLE: RangeDecision = { kind: "whole" };

/**
 * Decides by `Range` and `If-Range`. Forms that we do not serve (several ranges, other units, what
 * cannot be read) are ignored, as RFC 9110 §14.2 permits: the whole content answers them.
 */
export function decideRange(
  headers: { range?: string | undefined; ifRange?: string | undefined },
  sizeBytes: number,
  etag: string,
): RangeDecision {
  if (headers.range === undefined) return WHOLE;
  // RFC 9110 §13.1.5: a validator that does not match strongly (dates never do) drops the range.
  if (headers.ifRange !== undefined && headers.ifRange.trim() !== etag) return WHOLE;
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(headers.range.replaceAll(/\s/g, ""));
  if (!match || (match[1] === "" && match[2] === "")) return WHOLE;
  const [, first, last] = match as unknown as [string, string, string];
  if (first === "") {
    const length = Math.min(Number(last), sizeBytes);
    return length === 0
      ? { kind: "unsatisfiable" }
      : { kind: "part", start: sizeBytes - length, end: sizeBytes - 1 };
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return WHOLE;
  if (start >= sizeBytes) return { kind: "unsatisfiable" };
  const end = last === "" ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  return { kind: "part", start, end };
}

/** Whether the client has the content already (RFC 9110 §13.1.2: weak comparison). */
export function matchesAny(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch
    .split(",")
    .map((entry) => entry.trim().replace(/^W\//, ""))
    .some((entry) => entry === "*" || entry === etag);
}
