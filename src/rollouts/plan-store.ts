import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { ACTIVE_STATES } from "./rollout-store.ts";

/** Devices that an open rollout of the tenant holds, with its name. */
export async function takenDevices(tx: Tx, tenantId: string): Promise<Map<string, string>> {
  const { rows } = await sql<{ device_id: string; name: string }>`
    select d.device_id, r.name
    from rollouts r
    join rollout_devices d on d.tenant_id = r.tenant_id and d.rollout_id = r.id
    where r.tenant_id = ${tenantId} and r.state = any(${[...ACTIVE_STATES]}::text[])
      and d.state in ('pending', 'offered', 'downloading', 'installing', 'rebooting', 'confirming',
                      'succeeded')`.execute(tx);
  return new Map(rows.map((row) => [row.device_id, row.name]));
}

/** Devices that crashed since `since`, with how often. */
export async function crashCounts(
  tx: Tx,
  tenantId: string,
  since: Date,
): Promise<Map<string, number>> {
  const { rows } = await sql<{ device_id: string; crashes: number }>`
    select device_id, count(*) as crashes from device_incidents
    where tenant_id = ${tenantId} and kind in ('crash', 'restart') and occurred_at >= ${since}
    group by device_id`.execute(tx);
  return new Map(rows.map((row) => [row.device_id, row.crashes]));
}

/** Offers of finished rollouts that their devices never took up: a newer rollout takes them over. */
export async function supersededOffers(
  tx: Tx,
  tenantId: string,
  deviceIds: readonly string[],
): Promise<{ rollout_id: string; device_id: string }[]> {
  const { rows } = await sql<{ rollout_id: string; device_id: string }>`
    select d.rollout_id, d.device_id
    from rollout_devices d
    join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
    where d.tenant_id = ${tenantId} and d.state = 'offered'
      and d.device_id = any(${[...deviceIds]}::text[])
      and not r.state = any(${[...ACTIVE_STATES]}::text[])`.execute(tx);
  return rows;
}

/** Security counters of a product's published images, by hash; of the given ones. */
export async function publishedImages(
  tx: Tx,
  tenantId: string,
  product: string,
  sha256s: readonly string[],
): Promise<Map<string, number>> {
  const { rows } = await sql<{ image_sha256: string; security_counter: number }>`
    select distinct on (image_sha256) image_sha256, security_counter from releases
    where tenant_id = ${tenantId} and product = ${product}
      and image_sha256 = any(${[...sha256s]}::text[])
    order by image_sha256, published_at desc`.execute(tx);
  return new Map(rows.map((row) => [row.image_sha256, row.security_counter]));
}

/** Planning that is written down happens one at a time in a tenant. */
export async function lockPlanning(tx: Tx, tenantId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`rollouts/${tenantId}`}, 0))`.execute(
    tx,
  );
}

/** Tells the database what the table holds now, so that the reconciler's queries use its indexes. */
export async function refreshStatistics(tx: Tx): Promise<void> {
  await sql`select vautn.analyze_rollouts()`.execute(tx);
}
