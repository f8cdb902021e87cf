import type { IncomingHttpHeaders } from "node:http";
import { decideRange, matchesAny } from "./range.ts";

/** What is answered to a request for content that is named by its hash. */
export interface ContentAnswer {
  status: 200 | 206 | 304 | 416;
  /** Which bytes to send, both ends included; absent where none are. */
  part?: { start: number; end: number };
}

/** The name is the hash of the content, so that it never goes stale; the tenant's eyes only. */
const CACHE_CONTROL = "private, max-age=31536000, immutable";

/** RFC 9110 §13.2.2: If-None-Match, else If-Modified-Since; then Range with If-Range. */
export function decideAnswer(
  headers: IncomingHttpHeaders,
  method: string,
  content: { sha256: string; sizeBytes: number; createdAt: Date },
): ContentAnswer {
  const etag = `"${content.sha256}"`;
  const noneMatch = headers["if-none-match"];
  if (noneMatch !== undefined) {
    if (matchesAny(noneMatch, etag)) return { status: 304 };
  } else {
    const since = Date.parse(headers["if-modified-since"] ?? "");
    if (Math.floor(content.createdAt.getTime() / 1000) * 1000 <= since) return { status: 304 };
  }
  const ifRange = headers["if-range"];
  const range = decideRange(
    // RFC 9110 §14.2: a range means something for GET only.
    method === "GET"
      ? { range: headers.range, ifRange: Array.isArray(ifRange) ? ifRange.join(",") : ifRange }
      : {},
    content.sizeBytes,
    etag,
  );
  if (range.kind === "unsatisfiable") return { status: 416 };
  if (range.kind === "part") return { status: 206, part: { start: range.start, end: range.end } };
  return content.sizeBytes === 0
    ? { status: 200 }
    : { status: 200, part: { start: 0, end: content.sizeBytes - 1 } };
}

export function answerHeaders(
  content: { sha256: string; sizeBytes: number; createdAt: Date },
  { status, part }: ContentAnswer,
): Record<string, string | number> {
  const { sizeBytes } = content;
  return {
    etag: `"${content.sha256}"`,
    "accept-ranges": "bytes",
    "cache-control": CACHE_CONTROL,
    "content-type": "application/octet-stream",
    "last-modified": content.createdAt.toUTCString(),
    // RFC 9530: of the whole content, also where a part is sent.
    "repr-digest": `sha-256=:${Buffer.from(content.sha256, "hex").toString("base64")}:`,
    ...(status === 416 ? { "content-range": `bytes */${sizeBytes}` } : {}),
    ...(status === 206 && part
      ? { "content-range": `bytes ${part.start}-${part.end}/${sizeBytes}` }
      : {}),
    ...(status === 200 || status === 206
      ? { "content-length": part ? part.end - part.start + 1 : 0 }
      : {}),
  };
}
