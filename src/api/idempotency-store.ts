import type { Tx } from "../db/index.ts";

/** How long an answer is remembered. */
const KEPT_MS = 24 * 3_600_000;
/** A request that has not ended after this long has died with its process. */
const ABANDONED_MS = 10 * 60_000;
/** The status of a request that is still being worked on. */
export const IN_PROGRESS = 0;

export interface RememberedAnswer {
  requestHash: Buffer;
  status: number;
  response: unknown;
}

/**
 * Takes `key` for a request, unless another request has it: then that one's answer. Keys that have
 * had their time, or whose request died, are given away.
 */
export async function takeKey(
  tx: Tx,
  tenantId: string,
  key: string,
  requestHash: Buffer,
  now: Date,
): Promise<RememberedAnswer | undefined> {
  const values = {
    request_hash: requestHash,
    status: IN_PROGRESS,
    response: null,
    created_at: now,
  };
  const taken = await tx
    .insertInto("idempotency_keys")
    .values({ tenant_id: tenantId, key, ...values })
    .onConflict((conflict) =>
      conflict
        .columns(["tenant_id", "key"])
        .doUpdateSet(values)
        .where((where) =>
          where.or([
            where("idempotency_keys.created_at", "<", new Date(now.getTime() - KEPT_MS)),
            where.and([
              where("idempotency_keys.status", "=", IN_PROGRESS),
              where("idempotency_keys.created_at", "<", new Date(now.getTime() - ABANDONED_MS)),
            ]),
          ]),
        ),
    )
    .returning("key")
    .executeTakeFirst();
  if (taken) return undefined;
  const row = await tx
    .selectFrom("idempotency_keys")
    .select(["request_hash", "status", "response"])
    .where("tenant_id", "=", tenantId)
    .where("key", "=", key)
    .executeTakeFirstOrThrow();
  return { requestHash: row.request_hash, status: row.status, response: row.response };
}

/** Remembers how the request that holds `key` was answered. */
export async function rememberAnswer(
  tx: Tx,
  tenantId: string,
  key: string,
  answer: { status: number; response: object | null },
): Promise<void> {
  await tx
    .updateTable("idempotency_keys")
    .set({
      status: answer.status,
      response: answer.response === null ? null : JSON.stringify(answer.response),
    })
    .where("tenant_id", "=", tenantId)
    .where("key", "=", key)
    .execute();
}

/** Gives `key` back, so that the request can be tried again. */
export async function releaseKey(tx: Tx, tenantId: string, key: string): Promise<void> {
  await tx
    .deleteFrom("idempotency_keys")
    .where("tenant_id", "=", tenantId)
    .where("key", "=", key)
    .execute();
}

/** Forgets the answers of a tenant that have had their time. */
export async function forgetOldKeys(tx: Tx, tenantId: string, now: Date): Promise<void> {
  await tx
    .deleteFrom("idempotency_keys")
    .where("tenant_id", "=", tenantId)
    .where("created_at", "<", new Date(now.getTime() - KEPT_MS))
    .execute();
}
