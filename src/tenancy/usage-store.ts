import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

export interface UsageRow {
  quota: string;
  amount: number;
  /** Percent that the tenant has been told of: 0, 80 or 100. */
  warned: number;
}

/** Adds sums and raises peaks of a day; the result is the whole day, of all processes. */
export async function addUsage(
  tx: Tx,
  tenantId: string,
  day: string,
  added: { sums: Record<string, number>; peaks: Record<string, number> },
): Promise<UsageRow[]> {
  for (const [amounts, merge] of [
    [added.sums, sql`tenant_usage.amount + excluded.amount`],
    [added.peaks, sql`greatest(tenant_usage.amount, excluded.amount)`],
  ] as const) {
    const entries = Object.entries(amounts).sort(([left], [right]) => (left < right ? -1 : 1));
    if (entries.length === 0) continue;
    await sql`
      insert into tenant_usage (tenant_id, day, quota, amount)
      select ${tenantId}, ${day}, e.quota, e.amount
      from unnest(${entries.map(([quota]) => quota)}::text[],
                  ${entries.map(([, amount]) => amount)}::bigint[]) as e (quota, amount)
      on conflict (tenant_id, day, quota) do update set amount = ${merge}`.execute(tx);
  }
  return readUsage(tx, day);
}

export async function readUsage(tx: Tx, day: string): Promise<UsageRow[]> {
  const { rows } = await sql<UsageRow>`
    select quota, amount, warned from tenant_usage where day = ${day}`.execute(tx);
  return rows;
}

/** True for the one process that is the first to tell it. */
export async function noteWarned(
  tx: Tx,
  day: string,
  quota: string,
  percent: number,
): Promise<boolean> {
  const { numAffectedRows = 0n } = await sql`
    update tenant_usage set warned = ${percent}
    where day = ${day} and quota = ${quota} and warned < ${percent}`.execute(tx);
  return numAffectedRows > 0n;
}

export async function forgetUsage(tx: Tx, before: string): Promise<void> {
  await sql`delete from tenant_usage where day < ${before}`.execute(tx);
}

/** Until the transaction ends nobody else adds to what stands. */
export async function lockStanding(tx: Tx, tenantId: string): Promise<void> {
  const key = `storage/${tenantId}`;
  await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx);
}

/** What stands at the moment: devices, and bytes of artifacts and of all uploads that are still there. */
export async function readStanding(tx: Tx): Promise<{ devices: number; storage: number }> {
  const { rows } = await sql<{ devices: number; storage: number }>`
    select (select count(*) from devices) as devices,
           (select coalesce(sum(size_bytes), 0) from artifacts)::bigint
           + (select coalesce(sum(size_bytes), 0) from uploads)::bigint
             as storage`.execute(tx);
  return rows[0] ?? { devices: 0, storage: 0 };
}
