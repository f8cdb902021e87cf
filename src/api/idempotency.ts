import { createHash } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Database } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import { principalOf } from "./access.ts";
import {
  forgetOldKeys,
  IN_PROGRESS,
  releaseKey,
  rememberAnswer,
  takeKey,
} from "./idempotency-store.ts";
import type { Api } from "./types.ts";

const KEY = /^[\x21-\x7e]{1,128}$/;
const FORGET_EVERY_MS = 3_600_000;
/** Tenants whose last clean-up is remembered; beyond it the clean-up just runs once more. */
const MAX_TENANTS_REMEMBERED = 10_000;

interface Held {
  tenantId: string;
  key: string;
}

/**
 * `Idempotency-Key` on POST: the same request again gets the first one's answer, another request
 * under the same key is refused. Errors of ours are not remembered, so that they can be retried.
 */
export function rememberAnswers(
  api: Api,
  { db, clock }: { db: Pick<Database, "tenant">; clock: Clock },
): void {
  const held = new WeakMap<FastifyRequest, Held>();
  const forgottenAt = new Map<string, number>();

  api.addHook("preHandler", async (request, reply) => {
    const key = keyOf(request);
    if (key === undefined) return;
    const tenantId = request.tenantId ?? PLATFORM_CHAIN;
    const now = new Date(clock.now());
    const earlier = await db.tenant(tenantId, async (tx) => {
      if (now.getTime() - (forgottenAt.get(tenantId) ?? 0) > FORGET_EVERY_MS) {
        if (forgottenAt.size >= MAX_TENANTS_REMEMBERED) forgottenAt.clear();
        forgottenAt.set(tenantId, now.getTime());
        await forgetOldKeys(tx, tenantId, now);
      }
      return takeKey(tx, tenantId, key, hashOf(request), now);
    });
    if (earlier === undefined) {
      held.set(request, { tenantId, key });
      return;
    }
    if (!earlier.requestHash.equals(hashOf(request))) {
      throw new AppError("idempotency-key-reused", "the key belongs to another request");
    }
    if (earlier.status === IN_PROGRESS) {
      throw new AppError("conflict", "the first request with this key is still being worked on");
    }
    return replay(request, reply, earlier);
  });

  api.addHook("onSend", async (request, reply, payload) => {
    const entry = held.get(request);
    if (!entry) return payload;
    held.delete(request);
    const { statusCode } = reply;
    await db.tenant(entry.tenantId, async (tx) => {
      if (statusCode >= 500 || statusCode === 429) {
        await releaseKey(tx, entry.tenantId, entry.key);
        return;
      }
      const isSecret = request.routeOptions.config.answersSecret && statusCode < 400;
      const kept = typeof payload === "string" && payload.length > 0 && !isSecret;
      await rememberAnswer(tx, entry.tenantId, entry.key, {
        status: statusCode,
        response: kept ? (JSON.parse(payload) as object) : null,
      });
    });
    return payload;
  });
}

function keyOf(request: FastifyRequest): string | undefined {
  const key = request.headers["idempotency-key"];
  if (key === undefined || request.method !== "POST") return undefined;
  const { access, readsOnly, keepsNoAnswer } = request.routeOptions.config;
  if (readsOnly || keepsNoAnswer || access === "public") return undefined;
  if (typeof key !== "string" || !KEY.test(key)) {
    throw new AppError(
      "invalid-request",
      "Idempotency-Key takes 1 to 128 visible ASCII characters",
    );
  }
  return key;
}

/** A streamed body is named by what the URL says of it (the manifest carries its hash). */
function hashOf(request: FastifyRequest): Buffer {
  const isStream = typeof (request.body as { pipe?: unknown } | null)?.pipe === "function";
  return createHash("sha256")
    .update(JSON.stringify([principalOf(request).actor.id, request.url]))
    .update(isStream ? "" : JSON.stringify(request.body ?? null))
    .digest();
}

function replay(
  request: FastifyRequest,
  reply: FastifyReply,
  answer: { status: number; response: unknown },
): FastifyReply {
  if (answer.response === null && request.routeOptions.config.answersSecret) {
    throw new AppError("conflict", "this was done already, and its secret is shown only once");
  }
  if (answer.status >= 400) reply.type("application/problem+json");
  return reply
    .code(answer.status)
    .header("idempotency-replayed", "true")
    .send(answer.response ?? undefined);
}
