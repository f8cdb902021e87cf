import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { timeOrderedId } from "../kernel/index.ts";
import type { ReportedRow } from "./commands-store.ts";
import { retryAt } from "./lifecycle.ts";
import type { CommandStatus } from "./types.ts";

type RetryField = "attempt" | "max_attempts" | "retry_on" | "retry_seconds" | "expires_at";

/**
 * Makes the next attempts of commands that have come to such an end, where their policy wants one.
 * Each is a command of its own: an id is never carried out twice. None is made where the order has
 * been taken back meanwhile: by a newer one of its key, or with its batch.
 */
export async function insertAttempts(
  tx: Tx,
  ended: readonly { row: Pick<ReportedRow, "id" | RetryField>; status: CommandStatus }[],
  nowMs: number,
): Promise<void> {
  const attempts = ended.flatMap(({ row, status }) => {
    const facts = {
      attempt: row.attempt,
      maxAttempts: row.max_attempts,
      retryOn: row.retry_on,
      retrySeconds: row.retry_seconds,
      expiresAtMs: row.expires_at.getTime(),
    };
    const at = retryAt(facts, status, nowMs);
    return at === undefined ? [] : [{ of: row.id, id: timeOrderedId(nowMs), at: new Date(at) }];
  });
  if (attempts.length === 0) return;
  await sql`
    with made as (
      insert into commands
        (tenant_id, id, device_id, name, args, status, batch_id, priority, coalesce_key,
         deliver_seconds, accept_seconds, run_seconds, max_attempts, retry_seconds, retry_on,
         created_at, created_by, expires_at, traceparent, attempt, retry_of, release_at)
      select c.tenant_id, t.id, c.device_id, c.name, c.args, 'waiting', c.batch_id, c.priority,
             c.coalesce_key, c.deliver_seconds, c.accept_seconds, c.run_seconds, c.max_attempts,
             c.retry_seconds, c.retry_on, ${new Date(nowMs)}::timestamptz, c.created_by,
             c.expires_at, c.traceparent, c.attempt + 1, c.id,
             case when b.state = 'paused' then null else t.at end
      from unnest(${attempts.map((one) => one.of)}::uuid[],
                  ${attempts.map((one) => one.id)}::uuid[],
                  ${attempts.map((one) => one.at)}::timestamptz[]) as t(of, id, at)
      join commands c on c.id = t.of
      left join command_batches b on b.id = c.batch_id
      where b.state is distinct from 'cancelled'
        and not exists (
          select from commands newer
          where newer.device_id = c.device_id and newer.coalesce_key = c.coalesce_key
            and newer.seq > c.seq)
      returning id, retry_of
    )
    update commands c set retried_by = made.id from made where c.id = made.retry_of`.execute(tx);
}
