import { sql } from "kysely";
import type { Database, Tx } from "../db/index.ts";

/** One limit of downloads: of a tenant, or of a rollout of it. */
export interface ShareKey {
  tenantId: string;
  /** Empty for what the tenant has altogether. */
  rolloutId: string;
}

/** What a process uses of one limit. */
export interface HeldShare {
  process: string;
  /** Downloads that it would have under way if it could, and those that it has. */
  wanted: number;
  active: number;
  /** What nobody else may have meanwhile. */
  places: number;
  bytesPerSecond: number;
}

/** Where the processes that serve devices divide the pace of downloads among themselves. */
export interface DownloadShareStore {
  /**
   * Hands what others hold of each limit to `decide` and holds what that returns for `leaseMs`; no
   * other process comes in between.
   */
  exchange(
    process: string,
    keys: readonly ShareKey[],
    leaseMs: number,
    decide: (others: readonly (readonly HeldShare[])[]) => readonly Omit<HeldShare, "process">[],
  ): Promise<void>;
  release(process: string, keys: readonly ShareKey[]): Promise<void>;
  /** Lets go of everything. */
  leave(process: string): Promise<void>;
}

export function createDownloadShareStore(db: Database): DownloadShareStore {
  return {
    exchange: (process, keys, leaseMs, decide) =>
      db.platform(async (tx) => {
        await lockShares(tx);
        const rows = await heldByOthers(tx, process, keys);
        const others = keys.map((): HeldShare[] => []);
        for (const { at, ...held } of rows) others[at - 1]?.push(held);
        await holdShares(tx, process, keys, decide(others), leaseMs);
      }),

    release: (process, keys) => db.platform((tx) => releaseShares(tx, process, keys)),

    leave: (process) =>
      db.platform(async (tx) => {
        await tx.deleteFrom("download_shares").where("process", "=", process).execute();
      }),
  };
}

/** What is read must still be so when it is written: for a few milliseconds, once a second. */
async function lockShares(tx: Tx): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended('download-shares', 0))`.execute(tx);
}

/** By the database's clock: those of machines differ. `at` counts the keys from 1. */
async function heldByOthers(
  tx: Tx,
  process: string,
  keys: readonly ShareKey[],
): Promise<(HeldShare & { at: number })[]> {
  const { rows } = await sql<HeldShare & { at: number }>`
    select k.at::integer as at, s.process, s.wanted, s.active, s.places,
           s.bytes_per_second as "bytesPerSecond"
    from unnest(${keys.map((key) => key.tenantId)}::text[],
                ${keys.map((key) => key.rolloutId)}::text[])
      with ordinality as k (tenant_id, rollout_id, at)
    join download_shares s on s.tenant_id = k.tenant_id and s.rollout_id = k.rollout_id
    where s.process <> ${process} and s.until > clock_timestamp()`.execute(tx);
  return rows;
}

/** Also clears away what processes that are gone have left behind. */
async function holdShares(
  tx: Tx,
  process: string,
  keys: readonly ShareKey[],
  held: readonly Omit<HeldShare, "process">[],
  leaseMs: number,
): Promise<void> {
  await sql`
    with gone as (
      delete from download_shares
      where until < clock_timestamp() - interval '1 minute' and process <> ${process})
    insert into download_shares
      (tenant_id, rollout_id, process, wanted, active, places, bytes_per_second, until)
    select h.tenant_id, h.rollout_id, ${process}, h.wanted, h.active, h.places, h.rate,
           clock_timestamp() + ${leaseMs} * interval '1 millisecond'
    from unnest(${keys.map((key) => key.tenantId)}::text[],
                ${keys.map((key) => key.rolloutId)}::text[],
                ${held.map((one) => one.wanted)}::integer[],
                ${held.map((one) => one.active)}::integer[],
                ${held.map((one) => one.places)}::integer[],
                ${held.map((one) => one.bytesPerSecond)}::bigint[])
      as h (tenant_id, rollout_id, wanted, active, places, rate)
    join tenants t on t.id = h.tenant_id
    on conflict (tenant_id, rollout_id, process) do update set
      wanted = excluded.wanted, active = excluded.active, places = excluded.places,
      bytes_per_second = excluded.bytes_per_second, until = excluded.until`.execute(tx);
}

async function releaseShares(tx: Tx, process: string, keys: readonly ShareKey[]): Promise<void> {
  await sql`
    delete from download_shares s
    using unnest(${keys.map((key) => key.tenantId)}::text[],
                 ${keys.map((key) => key.rolloutId)}::text[]) as k (tenant_id, rollout_id)
    where s.tenant_id = k.tenant_id and s.rollout_id = k.rollout_id
      and s.process = ${process}`.execute(tx);
}
