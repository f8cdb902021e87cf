import type { FastifyRequest } from "fastify";
import { FairShare } from "../kernel/fair-share.ts";
import { AppError, type Clock, sleep } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import type { Api } from "./types.ts";

/** Requests a second of which no tenant is kept, however busy the process is. */
const FLOOR_PER_SECOND = 40;
/** A body that comes in, and one that goes out, of so many bytes is as much work as a small request. */
const RECEIVED_A_REQUEST = 256 * 1024;
const SENT_A_REQUEST = 32 * 1024;
/** Longer nobody is kept waiting: who sends so much more than its share is told to come again. */
const PATIENCE_MS = 5_000;

const slowed = counter(
  "vautn_api_slowed_requests_total",
  "Requests of tenants that took more than their share of a busy process, by what became of them",
  ["outcome"],
);

/**
 * Where several tenants keep the process busy, whoever asks for most waits for a turn, so that there
 * is room for the others. Comes after a request is let in: strangers have a limit of their own.
 */
export function takeTurns(api: Api, { clock, busy }: { clock: Clock; busy?: () => number }): void {
  if (!busy) return;
  const share = new FairShare({ clock, busy, floorPerSecond: FLOOR_PER_SECOND });
  api.addHook("onRequest", async (request) => {
    const { tenantId } = request;
    if (!tenantId) return;
    const awayMs = share.waitOf(tenantId);
    if (awayMs > PATIENCE_MS) {
      slowed.inc({ outcome: "refused" });
      const message = "this tenant asks for more than its share while others wait: slow down";
      throw new AppError("rate-limited", message, {
        tenant: tenantId,
        retryAfterSeconds: Math.ceil(awayMs / 1_000),
      });
    }
    const turnMs = share.take(tenantId, 1 + bytesOf(request) / RECEIVED_A_REQUEST);
    if (turnMs < 1) return;
    slowed.inc({ outcome: "waited" });
    await sleep(clock, turnMs);
  });
  api.addHook("onSend", async (request, _reply, payload) => {
    const isWhole = typeof payload === "string" || Buffer.isBuffer(payload);
    if (request.tenantId && isWhole) {
      share.take(request.tenantId, payload.length / SENT_A_REQUEST);
    }
    return payload;
  });
}

function bytesOf(request: FastifyRequest): number {
  const length = Number(request.headers["content-length"] ?? 0);
  return Number.isFinite(length) && length > 0 ? length : 0;
}
