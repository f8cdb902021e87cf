import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

/** The newest certificate in force of each device that is not revoked. */
const CURRENT = sql`
  select distinct on (c.device_id) c.device_id, c.serial, c.ca_id, c.not_before, c.not_after,
         coalesce(c.key_algorithm, 'unknown') as key_algorithm
  from certificates c
  join devices d on d.tenant_id = c.tenant_id and d.id = c.device_id and d.status <> 'revoked'
  where c.status = 'active'
  order by c.device_id, c.issued_at desc`;

const WEEK_SECONDS = 7 * 86_400;

export interface ExpiryWeek {
  /** Weeks from now: -1 for what has ended, `weeks` for what ends later than that. */
  week: number;
  count: number;
}

/** In how many weeks the devices' certificates end. */
export async function expiryByWeek(tx: Tx, now: Date, weeks: number): Promise<ExpiryWeek[]> {
  const { rows } = await sql<ExpiryWeek>`
    select greatest(-1, least(${weeks}::integer,
             floor(extract(epoch from (not_after - ${now}::timestamptz)) / ${WEEK_SECONDS}::integer)
           ))::integer as week, count(*) as count
    from (${CURRENT}) current group by 1 order by 1`.execute(tx);
  return rows;
}

export interface NamedCount {
  name: string;
  count: number;
}

export async function keysInUse(tx: Tx): Promise<NamedCount[]> {
  const { rows } = await sql<NamedCount>`
    select key_algorithm as name, count(*) as count from (${CURRENT}) current
    group by 1 order by 2 desc limit 50`.execute(tx);
  return rows;
}

export async function issuersInUse(tx: Tx): Promise<(NamedCount & { id: string })[]> {
  const { rows } = await sql<NamedCount & { id: string }>`
    select current.ca_id as id, coalesce(a.subject, '') as name, count(*) as count
    from (${CURRENT}) current
    left join certificate_authorities a on a.tenant_id = vautn.current_tenant() and a.id = current.ca_id
    group by 1, 2 order by 3 desc limit 50`.execute(tx);
  return rows;
}

export interface RadarTotals {
  devices: number;
  withoutCertificate: number;
  quarantined: number;
  held: number;
  revoked: number;
  failing: number;
  knocks24h: number;
}

export async function radarTotals(tx: Tx, now: Date): Promise<RadarTotals> {
  const dayAgo = new Date(now.getTime() - 86_400_000);
  const { rows } = await sql<RadarTotals>`
    select
      (select count(*) from devices where status <> 'revoked') as devices,
      (select count(*) from devices d where status <> 'revoked' and not exists (
         select from certificates c where c.tenant_id = d.tenant_id and c.device_id = d.id
           and c.status = 'active')) as "withoutCertificate",
      (select count(*) from devices where status = 'quarantined') as quarantined,
      (select count(*) from certificates where status = 'revoked' and revocation_code = 6) as held,
      (select count(*) from certificates
        where status = 'revoked' and revocation_code not in (4, 6)) as revoked,
      (select count(*) from certificate_rotations where failures > 0 and step <> 'done') as failing,
      (select count(*) from certificate_knocks where last_seen_at > ${dayAgo}) as "knocks24h"
  `.execute(tx);
  return rows[0] as RadarTotals;
}

/**
 * Devices whose certificate has used up `share` of its life, or has ended, and that have no newer
 * one: rotation should have happened. Those that end first before the others.
 */
export async function overdueRotations(
  tx: Tx,
  now: Date,
  share: number,
  limit: number,
): Promise<{ deviceId: string; notAfter: Date }[]> {
  const { rows } = await sql<{ deviceId: string; notAfter: Date }>`
    select device_id as "deviceId", not_after as "notAfter" from (${CURRENT}) current
    where ${now}::timestamptz > not_before + ${share}::double precision * (not_after - not_before)
    order by not_after, device_id limit ${limit}`.execute(tx);
  return rows;
}

/** Devices whose certificate ends before `before` and that have no newer one; the first to end first. */
export async function expiringCertificates(
  tx: Tx,
  before: Date,
  limit: number,
): Promise<{ deviceId: string; notAfter: Date }[]> {
  const { rows } = await sql<{ deviceId: string; notAfter: Date }>`
    select device_id as "deviceId", not_after as "notAfter" from (${CURRENT}) current
    where not_after < ${before}
    order by not_after, device_id limit ${limit}`.execute(tx);
  return rows;
}

export interface TroubledRow {
  device_id: string;
  step: string;
  element: string;
  message: string;
  failures: number;
  started_at: Date;
  updated_at: Date;
  not_after: Date | null;
}

/** Devices whose rotation is in trouble, the latest trouble first. */
export async function troubledRotations(
  tx: Tx,
  filter: {
    step?: string | undefined;
    minFailures: number;
    after: { at: Date; deviceId: string } | undefined;
    limit: number;
  },
): Promise<TroubledRow[]> {
  const { step, after } = filter;
  const { rows } = await sql<TroubledRow>`
    select r.device_id, coalesce(f.step, r.step) as step,
           coalesce(r.error_element, f.element, '') as element,
           coalesce(r.error_message, f.message, '') as message,
           r.failures, r.started_at, r.updated_at,
           (select max(c.not_after) from certificates c where c.tenant_id = r.tenant_id
              and c.device_id = r.device_id and c.status = 'active') as not_after
    from certificate_rotations r
    left join lateral (
      select step, element, message from rotation_failures x
      where x.tenant_id = r.tenant_id and x.device_id = r.device_id order by seq desc limit 1
    ) f on true
    where r.failures >= ${filter.minFailures} and r.failures > 0 and r.step <> 'done'
      ${step === undefined ? sql`` : sql`and coalesce(f.step, r.step) = ${step}`}
      ${after ? sql`and (r.updated_at, r.device_id) < (${after.at}, ${after.deviceId})` : sql``}
    order by r.updated_at desc, r.device_id desc limit ${filter.limit}`.execute(tx);
  return rows;
}

/** At which step rotations are stuck. */
export async function troubleBySteps(tx: Tx): Promise<NamedCount[]> {
  const { rows } = await sql<NamedCount>`
    select coalesce(f.step, r.step) as name, count(*) as count
    from certificate_rotations r
    left join lateral (
      select step from rotation_failures x
      where x.tenant_id = r.tenant_id and x.device_id = r.device_id order by seq desc limit 1
    ) f on true
    where r.failures > 0 and r.step <> 'done' group by 1 order by 2 desc limit 50`.execute(tx);
  return rows;
}

/** Failures of one rotation that are kept. */
const FAILURES_PER_DEVICE = 20;

export async function addFailure(
  tx: Tx,
  tenantId: string,
  failure: { deviceId: string; at: Date; step: string; element: string; message: string },
): Promise<void> {
  const { deviceId, at, step, element, message } = failure;
  await tx
    .insertInto("rotation_failures")
    .values({ tenant_id: tenantId, device_id: deviceId, at, step, element, message })
    .execute();
  await sql`
    delete from rotation_failures where tenant_id = ${tenantId} and device_id = ${deviceId}
      and seq <= (select seq from rotation_failures
                  where tenant_id = ${tenantId} and device_id = ${deviceId}
                  order by seq desc offset ${FAILURES_PER_DEVICE} limit 1)`.execute(tx);
}

/** Newest first. */
export function failuresOf(tx: Tx, tenantId: string, deviceId: string) {
  return tx
    .selectFrom("rotation_failures")
    .select(["at", "step", "element", "message"])
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .orderBy("seq", "desc")
    .limit(FAILURES_PER_DEVICE)
    .execute();
}
