import { createHash } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import { AppError } from "../kernel/index.ts";

/** A strong validator over what an update can change (RFC 9110 §8.8.3). */
export function etagOf(state: unknown): string {
  return `"${createHash("sha256").update(JSON.stringify(state)).digest("base64url").slice(0, 22)}"`;
}

/** Sets the ETag; answers 304 where the caller has this state already. */
export function answerWithEtag(
  request: FastifyRequest,
  reply: FastifyReply,
  state: unknown,
  body: unknown,
): unknown {
  const etag = etagOf(state);
  reply.header("etag", etag);
  if (request.headers["if-none-match"] === etag) {
    reply.code(304);
    return undefined;
  }
  return body;
}

/**
 * Refuses an update that was made on a state which is no longer there (RFC 9110 §13.1.1). To be called
 * with the state locked: of two updates that were made on the same one, the second is refused.
 */
export function assertIfMatch(request: FastifyRequest, state: unknown): void {
  const wanted = request.headers["if-match"];
  if (wanted === undefined || wanted === "*") return;
  const etags = wanted.split(",").map((etag) => etag.trim());
  if (!etags.includes(etagOf(state))) {
    throw new AppError("precondition-failed", "it has changed since you read it; read it again");
  }
}
