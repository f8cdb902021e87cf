import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { versionSortKey } from "./version-order.ts";

/** What a version has lived through. */
export interface VersionLife {
  version: string;
  /** Devices that ran it at any time. */
  devices: number;
  deviceHours: number;
  /** Of each kind, at most one a device and day. */
  incidents: Record<string, number>;
  /** Devices that run it now, by health. */
  running: Record<string, number>;
}

/** The newest two versions that devices run, the newest first. */
export async function newestVersions(tx: Tx): Promise<string[]> {
  const { rows } = await sql<{ version: string }>`
    select firmware_version as version from device_states
    where firmware_version_key is not null
    group by firmware_version, firmware_version_key
    order by firmware_version_key desc limit 2`.execute(tx);
  return rows.map(({ version }) => version);
}

/** Versions that devices have left since `from`, those that were left last first; at most a hundred. */
async function versionsLeft(tx: Tx, tenantId: string, from: Date): Promise<string[]> {
  const { rows } = await sql<{ version: string }>`
    select details ->> 'from' as version from device_timeline
    where tenant_id = ${tenantId} and kind = 'firmware' and at >= ${from}
      and details ->> 'from' is not null
    group by 1 order by max(at) desc limit 100`.execute(tx);
  return rows.map(({ version }) => version);
}

/**
 * What a version is compared with where every device runs it: the one below it that devices have run
 * since `from`, or the one that was left last.
 */
export async function versionBefore(
  tx: Tx,
  tenantId: string,
  version: string,
  from: Date,
): Promise<string | undefined> {
  const others = (await versionsLeft(tx, tenantId, from)).filter((other) => other !== version);
  const key = versionSortKey(version);
  if (key === null) return others[0];
  const below = others
    .map((other) => ({ other, key: versionSortKey(other) }))
    .filter((one): one is { other: string; key: string } => one.key !== null && one.key < key)
    .sort((left, right) => (left.key < right.key ? 1 : -1));
  return below[0]?.other ?? others[0];
}

/**
 * How long devices have run a version since `from`, by the timeline of their firmware, and what happened
 * meanwhile. Who has changed nothing since then runs what it runs from `from`, or its registration, on.
 */
export async function readLife(
  tx: Tx,
  tenantId: string,
  version: string,
  { from, to }: { from: Date; to: Date },
): Promise<VersionLife> {
  const { rows } = await sql<Omit<VersionLife, "version">>`
    with changes as (
      select device_id, at, details ->> 'to' as version from device_timeline
      where tenant_id = ${tenantId} and kind = 'firmware' and at >= ${from} and at < ${to}
    ), before as (
      -- What ran until the first change; without one, what runs now.
      select s.device_id, greatest(${from}::timestamptz, d.created_at) as at,
             coalesce(f.version, s.firmware_version) as version
      from device_states s
      join devices d on d.tenant_id = s.tenant_id and d.id = s.device_id
      left join lateral (
        select t.details ->> 'from' as version, true as found from device_timeline t
        where t.tenant_id = ${tenantId} and t.device_id = s.device_id and t.kind = 'firmware'
          and t.at >= ${from} and t.at < ${to}
        order by t.at limit 1) f on true
      where s.presence <> 'never' and (f.found is null or f.version is not null)
    ), spans as (
      select device_id, version, at as began,
             coalesce(lead(at) over (partition by device_id order by at), ${to}) as ended
      from (select * from changes union all select * from before) all_changes
    ), mine as (
      select * from spans where version = ${version} and ended > began
    ), events as (
      select i.kind, count(distinct (i.device_id, date_trunc('day', i.occurred_at))) as count
      from device_incidents i join mine m on m.device_id = i.device_id
      where i.tenant_id = ${tenantId} and i.occurred_at >= m.began and i.occurred_at < m.ended
      group by i.kind
    ), running as (
      select health, count(*) as count from device_states where firmware_version = ${version}
      group by health)
    select (select count(distinct device_id) from mine) as devices,
           (select coalesce(sum(extract(epoch from ended - began)), 0)::float8 / 3600 from mine)
             as "deviceHours",
           (select coalesce(jsonb_object_agg(kind, count), '{}') from events) as incidents,
           (select coalesce(jsonb_object_agg(health, count), '{}') from running) as running`.execute(
    tx,
  );
  return { version, ...(rows[0] as Omit<VersionLife, "version">) };
}
