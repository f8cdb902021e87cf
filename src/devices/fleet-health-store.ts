import { type RawBuilder, sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { Dimension } from "./fleet-dimensions.ts";
import { type FleetQuery, fleetCondition } from "./fleet-query.ts";
import type { CrashGroup, FleetMoment, MatrixCell } from "./types.ts";

/** Cells of one matrix, and crashes that are told apart in one answer; the largest first. */
export const MAX_CELLS = 2_500;
export const MAX_SIGNATURES = 100;
/** Parts of a fleet that one moment of its history tells apart. */
const MAX_PARTS = 500;
const MAX_MOMENTS = 20_000;

/** Devices by two dimensions at once. */
export async function countMatrix(
  tx: Tx,
  [rows, columns]: readonly [Dimension, Dimension],
  query: FleetQuery,
  nowMs: number,
): Promise<MatrixCell[]> {
  const { rows: cells } = await sql<MatrixCell>`
    select ${rows.key} as row, ${columns.key} as column, count(*) as total,
           count(*) filter (where s.presence = 'online') as online,
           count(*) filter (where s.health = 'healthy') as healthy,
           count(*) filter (where s.health = 'degraded') as degraded,
           count(*) filter (where s.health = 'failing') as failing,
           count(*) filter (where s.health = 'offline') as offline,
           count(*) filter (where s.health = 'unknown') as unknown
    from devices d
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.id
    ${rows.source} ${columns.source}
    where ${fleetCondition(query, nowMs)}
    group by 1, 2 order by total desc, 1, 2 limit ${MAX_CELLS}`.execute(tx);
  return cells;
}

/** Writes down how the fleet fares; the smallest of too many parts are left out. */
export async function storeMoment(tx: Tx, tenantId: string, at: Date): Promise<void> {
  await sql`
    insert into fleet_history (tenant_id, at, firmware, hardware, product, region, total, online,
                               healthy, degraded, failing, offline)
    select ${tenantId}, ${at}, coalesce(s.firmware_version, ''), d.hardware_revision, d.product,
           d.region, count(*) as total, count(*) filter (where s.presence = 'online'),
           count(*) filter (where s.health = 'healthy'),
           count(*) filter (where s.health = 'degraded'),
           count(*) filter (where s.health = 'failing'),
           count(*) filter (where s.health = 'offline')
    from devices d
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.id
    where d.status = 'active'
    group by 3, 4, 5, 6 order by total desc limit ${MAX_PARTS}
    on conflict do nothing`.execute(tx);
}

/** The same by group, and by each value of each tag; the smallest of too many are left out. */
export async function storeLabels(
  tx: Tx,
  tenantId: string,
  at: Date,
  groups: Dimension,
): Promise<void> {
  const store = (label: RawBuilder<string>, key: RawBuilder<string>, source: RawBuilder<unknown>) =>
    sql`
    insert into fleet_history_labels (tenant_id, at, label, key, total, online, healthy, degraded,
                                      failing, offline)
    select ${tenantId}, ${at}, ${label}, ${key}, count(*) as total,
           count(*) filter (where s.presence = 'online'),
           count(*) filter (where s.health = 'healthy'),
           count(*) filter (where s.health = 'degraded'),
           count(*) filter (where s.health = 'failing'),
           count(*) filter (where s.health = 'offline')
    from devices d
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.id
    ${source}
    where d.status = 'active'
    group by 3, 4 order by total desc limit ${MAX_PARTS}
    on conflict do nothing`.execute(tx);
  await store(sql`'group'::text`, groups.key, groups.source);
  const tags = sql`cross join lateral jsonb_each_text(d.tags) tag`;
  await store(sql`'tags.' || tag.key`, sql`tag.value`, tags);
}

export async function deleteOldMoments(tx: Tx, before: Date): Promise<void> {
  await sql`delete from fleet_history where at < ${before}`.execute(tx);
  await sql`delete from fleet_history_labels where at < ${before}`.execute(tx);
}

/** The history of a fleet's groups, or of one tag's values, thinned in the same way. */
export async function readLabelHistory(
  tx: Tx,
  label: string,
  { from, to, stepMs }: { from: Date; to: Date; stepMs: number },
): Promise<FleetMoment[]> {
  const { rows } = await sql<Omit<FleetMoment, "at"> & { at: Date }>`
    with looks as (
      select max(at) as at from fleet_history_labels
      where label = ${label} and at >= ${from} and at <= ${to}
      group by floor(extract(epoch from at) * 1000 / ${stepMs}::float8))
    select h.at, h.key, total::bigint as total, online::bigint as online,
           healthy::bigint as healthy, degraded::bigint as degraded,
           failing::bigint as failing, offline::bigint as offline
    from fleet_history_labels h join looks on looks.at = h.at
    where h.label = ${label} order by h.at, total desc, h.key limit ${MAX_MOMENTS}`.execute(tx);
  return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
}

/** The history by one of its columns, thinned to steps of `stepMs`: the last look of each counts. */
export async function readHistory(
  tx: Tx,
  by: "firmware" | "hardware" | "product" | "region" | null,
  { from, to, stepMs }: { from: Date; to: Date; stepMs: number },
): Promise<FleetMoment[]> {
  const key = by === null ? sql`''` : sql.ref(by);
  const { rows } = await sql<Omit<FleetMoment, "at"> & { at: Date }>`
    with looks as (
      select max(at) as at from fleet_history where at >= ${from} and at <= ${to}
      group by floor(extract(epoch from at) * 1000 / ${stepMs}::float8))
    select h.at, ${key} as key, sum(total)::bigint as total, sum(online)::bigint as online,
           sum(healthy)::bigint as healthy, sum(degraded)::bigint as degraded,
           sum(failing)::bigint as failing, sum(offline)::bigint as offline
    from fleet_history h join looks on looks.at = h.at
    group by h.at, 2 order by h.at, total desc limit ${MAX_MOMENTS}`.execute(tx);
  return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
}

/** Crashes of one cause together, the most frequent first. */
export async function groupCrashes(
  tx: Tx,
  query: FleetQuery,
  { from, nowMs }: { from: Date; nowMs: number },
): Promise<CrashGroup[]> {
  const { rows } = await sql<
    Omit<CrashGroup, "firstSeenAt" | "lastSeenAt"> & { first_at: Date; last_at: Date }
  >`
    with incidents as (
      select i.signature, i.kind, i.device_id, i.occurred_at, i.details,
             coalesce((select r.version from releases r
                       where r.tenant_id = d.tenant_id and r.image_sha256 = i.firmware_sha256
                       limit 1), left(i.firmware_sha256, 12), '') as version
      from device_incidents i
      join devices d on d.tenant_id = i.tenant_id and d.id = i.device_id
      join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.id
      where i.signature is not null and i.occurred_at >= ${from}
        and ${fleetCondition(query, nowMs)}
    ), versions as (
      select signature, jsonb_agg(jsonb_build_object('version', version, 'count', count)
                                  order by count desc) as firmware
      from (select signature, version, count(*) as count from incidents group by 1, 2) v
      group by 1)
    select i.signature, min(i.kind) as kind, count(*) as count,
           count(distinct i.device_id) as devices, v.firmware,
           min(i.occurred_at) as first_at, max(i.occurred_at) as last_at,
           (array_agg(jsonb_build_object('deviceId', i.device_id, 'details', i.details)
                      order by i.occurred_at desc))[1] as example
    from incidents i join versions v on v.signature = i.signature
    group by i.signature, v.firmware order by count desc, i.signature
    limit ${MAX_SIGNATURES}`.execute(tx);
  return rows.map(({ first_at, last_at, ...row }) => ({
    ...row,
    firstSeenAt: first_at.toISOString(),
    lastSeenAt: last_at.toISOString(),
  }));
}
