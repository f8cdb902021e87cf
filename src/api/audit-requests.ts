import type { FastifyReply, FastifyRequest } from "fastify";
import type { Database } from "../db/index.ts";
import { AppError, type Clock, messageOf } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { auditText, PLATFORM_CHAIN, type Tenancy } from "../tenancy/index.ts";
import { actorOf } from "./access.ts";
import type { Api } from "./types.ts";

const READS: readonly string[] = ["GET", "HEAD", "OPTIONS"];

export interface AuditDeps {
  tenancy: { audit: Pick<Tenancy["audit"], "record"> };
  db: Pick<Database, "tenant">;
  clock: Clock;
  logger: Logger;
}

/** A page that reads anew by itself is one reading: one entry says that somebody looks. */
const READING_MS = 3_600_000;
const MAX_READERS = 10_000;

/**
 * Records every refused write of a known caller before its answer leaves, and the writes done whose
 * module does not do so itself, in the transaction of the change. Attempts on a tenant by those who are no members go
 * to the platform's log, so that strangers cannot fill a tenant's. Of reads, those that are sensitive.
 */
export function auditRequests(api: Api, deps: AuditDeps): void {
  const recorded = new WeakSet<FastifyRequest>();
  const readers = new TtlCache<true>({
    clock: deps.clock,
    ttlMs: READING_MS,
    maxEntries: MAX_READERS,
  });

  api.addHook("onSend", async (request, reply, payload) => {
    if (recorded.has(request) || !isAudited(request, reply, readers)) return payload;
    recorded.add(request);
    try {
      await record(request, reply, deps);
    } catch (error) {
      readers.delete(readingOf(request));
      deps.logger.error({ error: messageOf(error) }, "the audit log could not be written");
      if (reply.statusCode < 400) {
        const done = READS.includes(request.method) ? "" : "it was done, but ";
        throw new AppError("unavailable", `${done}the audit log could not be written`);
      }
    }
    return payload;
  });
}

function isAudited(request: FastifyRequest, reply: FastifyReply, readers: TtlCache<true>): boolean {
  if (request.routeOptions.config.sensitiveRead) return isNewReading(request, reply, readers);
  if (READS.includes(request.method) || request.routeOptions.config.readsOnly) return false;
  // A flood is counted by the rate limit; writing it all down would be its second victim.
  if (request.principal === null || reply.statusCode === 429) return false;
  return reply.statusCode >= 400 || request.routeOptions.config.recordsDone === true;
}

function isNewReading(
  request: FastifyRequest,
  reply: FastifyReply,
  readers: TtlCache<true>,
): boolean {
  if (request.principal === null || reply.statusCode >= 400) return false;
  const reading = readingOf(request);
  if (readers.get(reading)) return false;
  readers.set(reading, true);
  return true;
}

function readingOf({ principal, routeOptions, tenantId, ip }: FastifyRequest): string {
  const { kind, id } = principal?.actor ?? {};
  return JSON.stringify([routeOptions.config.sensitiveRead, tenantId, kind, id, ip]);
}

async function record(
  request: FastifyRequest,
  reply: FastifyReply,
  deps: AuditDeps,
): Promise<void> {
  const { tenant, ...ids } = request.params as Record<string, string>;
  const tenantId = request.tenantId ?? PLATFORM_CHAIN;
  const { action: write, sensitiveRead } = request.routeOptions.config;
  const action = sensitiveRead ?? write ?? request.method;
  await deps.db.tenant(tenantId, (tx) =>
    deps.tenancy.audit.record(tx, tenantId, {
      actor: actorOf(request),
      action,
      targetKind: action.split(".")[0] ?? action,
      targetId: request.auditTargetId ?? Object.values(ids).at(-1) ?? tenant ?? "",
      outcome: reply.statusCode < 400 ? "done" : "refused",
      details: {
        status: reply.statusCode,
        ...refusalOf(request),
        ...(request.tenantId === null && tenant ? { tenant: tenant.slice(0, 64) } : {}),
      },
      address: request.ip,
      traceId: request.traceId,
    }),
  );
}

/** Why, in the words that the caller was told; the log cuts what is too long. */
function refusalOf({ refusal }: FastifyRequest): Record<string, unknown> {
  if (!refusal) return {};
  const { reason, step } = refusal.details;
  return {
    code: refusal.code,
    message: auditText(refusal.message),
    ...(typeof reason === "string" ? { reason: auditText(reason) } : {}),
    ...(typeof step === "string" ? { step } : {}),
  };
}
