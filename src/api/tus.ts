import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { AppError, LIMITS } from "../kernel/index.ts";

/** https://tus.io/protocols/resumable-upload (1.0.0), with the extensions that are named here. */
export const TUS = {
  version: "1.0.0",
  extensions: "creation,creation-with-upload,checksum,expiration,termination",
  // tus 1.0 §checksum: SHA-1 must be known to every server.
  checksums: "sha256,sha1",
  contentType: "application/offset+octet-stream",
} as const;

const DIGEST_BYTES = { sha1: 20, sha256: 32 } as const;
const MAX_NAME = 255;

export interface UploadMetadata {
  /** As it was sent. */
  text: string;
  name: string;
  sha256: string | null;
}

const UPLOAD_PATH = /^\/api\/v1\/tenants\/[^/?]+\/uploads\/[^/?]+$/;
const OVERRIDES = new Set(["PATCH", "DELETE", "HEAD"]);

/**
 * tus 1.0 §x-http-method-override: for clients behind what lets POST through and nothing else. Of
 * uploads only, and before anything looks at the method, so that what it asks for is what is permitted.
 */
export function overrideMethod(request: IncomingMessage): void {
  const wanted = request.headers["x-http-method-override"];
  if (request.method !== "POST" || typeof wanted !== "string") return;
  if (OVERRIDES.has(wanted) && UPLOAD_PATH.test(request.url ?? "")) request.method = wanted;
}

/** tus 1.0 §tus-resumable: a version that is not ours is 412, and nothing else is looked at. */
export function assertTusVersion(headers: IncomingHttpHeaders): void {
  if (headers["tus-resumable"] === TUS.version) return;
  throw new AppError("precondition-failed", `send Tus-Resumable: ${TUS.version}`);
}

/** A size in bytes: Upload-Length or Upload-Offset. */
export function readSize(headers: IncomingHttpHeaders, name: string): number {
  const text = headers[name];
  if (typeof text !== "string" || !/^\d{1,15}$/.test(text)) {
    throw new AppError("invalid-request", `${name} must be a number of bytes`);
  }
  return Number(text);
}

/** Length of the body, where the caller says so. */
export function readContentLength(headers: IncomingHttpHeaders): number | undefined {
  return headers["content-length"] === undefined ? undefined : readSize(headers, "content-length");
}

/**
 * tus 1.0 §upload-metadata: `key base64,key base64`. `filename` (or `name`) is a label and never a
 * path; `sha256` in hex is what the whole must have.
 */
export function readMetadata(headers: IncomingHttpHeaders): UploadMetadata {
  const text = headers["upload-metadata"];
  if (text === undefined || text === "") return { text: "", name: "", sha256: null };
  if (typeof text !== "string" || text.length > LIMITS.uploadMetadataBytes) {
    throw new AppError(
      "invalid-request",
      `Upload-Metadata has at most ${LIMITS.uploadMetadataBytes} bytes`,
    );
  }
  const values = new Map<string, string>();
  for (const pair of text.split(",")) {
    const [key = "", value = "", ...more] = pair.trim().split(" ");
    const isBase64 = /^[A-Za-z0-9+/]*={0,2}$/.test(value);
    if (!/^[\x21-\x2b\x2d-\x7e]+$/.test(key) || values.has(key) || more.length > 0 || !isBase64) {
      throw new AppError("invalid-request", "Upload-Metadata: each key once, then its base64");
    }
    values.set(key, Buffer.from(value, "base64").toString("utf8"));
  }
  const sha256 = values.get("sha256") ?? null;
  if (sha256 !== null && !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new AppError("invalid-request", "Upload-Metadata: sha256 takes 64 hex digits");
  }
  return { text, name: labelOf(values.get("filename") ?? values.get("name") ?? ""), sha256 };
}

/** The last part of a name, without what no terminal should be sent. */
function labelOf(name: string): string {
  const last = name.toWellFormed().split(/[/\\]/).at(-1) ?? "";
  return last.replace(/\p{Cc}/gu, "").slice(0, MAX_NAME);
}

/** tus 1.0 §upload-checksum: the algorithm's name and the digest in base64. */
export function readChecksum(
  headers: IncomingHttpHeaders,
): { algorithm: "sha1" | "sha256"; digest: Buffer } | undefined {
  const text = headers["upload-checksum"];
  if (text === undefined) return undefined;
  const [algorithm = "", value = ""] = String(text).split(" ");
  if (algorithm !== "sha1" && algorithm !== "sha256") {
    throw new AppError("invalid-request", `the checksum algorithms are ${TUS.checksums}`);
  }
  const digest = Buffer.from(value, "base64");
  if (digest.length !== DIGEST_BYTES[algorithm]) {
    throw new AppError("invalid-request", `this is no ${algorithm} digest in base64`);
  }
  return { algorithm, digest };
}
