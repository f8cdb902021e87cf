import { createHash } from "node:crypto";
import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { type FleetQuery, fleetCondition, versionSortKey } from "../devices/index.ts";
import { CHRONIC_CRASHES, CHRONIC_DAYS, type Hop } from "./planning.ts";
import type { RolloutPolicy } from "./policy.ts";
import { ACTIVE_STATES } from "./rollout-store.ts";
import { DEFAULT_PENALTY, penalisedSince } from "./stop-store.ts";
import type { Release } from "./types.ts";

/** What devices are judged by: whether they take part, and whether the gate compares them. */
export interface Question {
  release: Release;
  query: FleetQuery;
  policy: RolloutPolicy;
  /** The release last, stepping stones before it, oldest first. */
  hops: readonly Hop[];
  /** Names the order: the same for a plan and for the rollout that is made of it. */
  seed: string;
  nowMs: number;
  /** Only devices among these; of a rollout that exists, those that it does not have yet. */
  arriving?: { rolloutId: string; deviceIds: readonly string[] | null };
}

const DAY_MS = 86_400_000;

/** Sorting a fleet in memory: in the default few megabytes a million rows go to disk thrice. */
const SORT_MEMORY = "192MB";
/** A million devices on a busy machine take more than the minute that other statements have. */
const LONGEST_STATEMENT = "10min";

/**
 * Judges the fleet into the temporary table `judged`, a row for each device that matches the query,
 * which lasts for the transaction. One statement, however many they are.
 */
export async function judgeFleet(tx: Tx, tenantId: string, question: Question): Promise<void> {
  const { query, nowMs, arriving, seed, policy } = question;
  await sql`select set_config('work_mem', ${SORT_MEMORY}, true),
    set_config('statement_timeout', ${LONGEST_STATEMENT}, true)`.execute(tx);
  await sql`drop table if exists pg_temp.judged`.execute(tx);
  const hash = createHash("sha256").update(seed).digest().readBigInt64BE(0).toString();
  const ids = arriving?.deviceIds;
  await sql`
    create temp table judged on commit drop as
    with crashes as (
      select device_id, count(*) as crashes from device_incidents
      where tenant_id = ${tenantId} and kind in ('crash', 'restart')
        and occurred_at >= ${new Date(nowMs - CHRONIC_DAYS * DAY_MS)}
      group by device_id having count(*) >= ${CHRONIC_CRASHES}),
    taken as (${takenBy(tenantId, policy)}),
    penalised as (${penalisedSince(tenantId, policy.penalty ?? DEFAULT_PENALTY, nowMs)})
    select d.id, d.hardware_revision, d.region, s.presence, s.last_seen_at, s.formats,
           s.firmware_version, s.firmware_sha256, h.hop as hop,
           hashtextextended(d.id, ${sql.raw(hash)}) as hash, ${orderKey(policy)} as key,
           ${policy.order === "one-per-site-first" ? tagOf(policy.siteTag ?? "site") : sql`null::text`} as site,
           ${policy.disruption ? tagOf(policy.disruption.tag ?? "site") : sql`null::text`} as budget,
           ${policy.window ? sql`coalesce(${tagOf(policy.window.zoneTag ?? "timezone")}, '')` : sql`null::text`} as zone,
           case ${refusals(tenantId, question)} else null end as refusal,
           case when c.crashes is not null
                then 'crashed ' || c.crashes || ' times in ${sql.raw(String(CHRONIC_DAYS))} days before'
                when h.hop < ${question.hops.length} then 'comes by a stepping stone'
                when s.presence in ('offline', 'never') then 'was not connected' end as exclusion
    from devices d
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.id
    left join crashes c on c.device_id = d.id
    left join taken t on t.device_id = d.id
    left join penalised p on p.device_id = d.id
    cross join lateral (select ${hopOf(question)} as hop) h
    where d.tenant_id = ${tenantId} and ${fleetCondition(query, nowMs)}
      ${ids ? sql`and d.id = any(${[...ids]}::text[])` : sql``}
      ${
        arriving
          ? sql`and not exists (select from rollout_devices m where m.tenant_id = d.tenant_id
                  and m.rollout_id = ${arriving.rolloutId}::uuid and m.device_id = d.id)`
          : sql``
      }`.execute(tx);
  // Without statistics the counts are sorted to disk that fit into a handful of buckets; a rough idea will do.
  await sql`set local default_statistics_target = 10`.execute(tx);
  await sql`analyze judged`.execute(tx);
  await sql`set local default_statistics_target to default`.execute(tx);
}

/** Devices that an open rollout holds: all that it has begun, and those that come before us. */
function takenBy(tenantId: string, policy: RolloutPolicy) {
  return sql`
    select d.device_id, min(r.name) as name
    from rollouts r
    join rollout_devices d on d.tenant_id = r.tenant_id and d.rollout_id = r.id
    where r.tenant_id = ${tenantId} and r.state = any(${[...ACTIVE_STATES]}::text[])
      and (r.kind = 'rollback' or r.priority >= ${policy.priority ?? 0} or d.state <> 'pending')
      and d.state in ('pending', 'offered', 'downloading', 'installing', 'rebooting', 'confirming',
                      'succeeded')
      and not (r.is_dynamic and d.state = 'succeeded')
    group by d.device_id`;
}

/** Why a device cannot or need not have the release, the first reason that holds. */
function refusals(tenantId: string, { release, policy, hops }: Question) {
  const key = versionSortKey(release.version);
  const { penalty = DEFAULT_PENALTY } = policy;
  const needed = release.minimumSourceVersion;
  const tooOld = `, the release needs ${needed} or newer first`;
  const unknown = "a version that it has not told";
  const hardware = release.hardwareRevisions;
  return sql`
    when d.product <> ${release.product}
      then 'is a ' || d.product || ${`, not a ${release.product}`}
    when not d.hardware_revision = any(${[...hardware]}::text[])
      then 'has hardware ' || d.hardware_revision
        || ${`, the release is for ${hardware.join(", ")}`}
    when d.status <> 'active' then 'is ' || d.status
    when s.firmware_sha256 = ${release.imageSha256}
      then ${`runs ${release.version} already`}
    ${
      policy.requireSecureBoot
        ? sql`when not s.secure_boot
                then 'does not report that it was started with Secure Boot on'`
        : sql``
    }
    when s.firmware_version_key > ${key ?? "~"}
      then 'runs the newer version ' || s.firmware_version
    when s.firmware_sha256 in (
        select v.image_sha256 from releases v where v.tenant_id = ${tenantId}
          and v.product = ${release.product} and v.security_counter > ${release.securityCounter})
      then 'runs ' || coalesce(s.firmware_version, 'an image')
        || ', below whose security floor the release lies'
    when h.hop is null
      then 'runs ' || coalesce(s.firmware_version, ${unknown}) || ${tooOld}
    when t.device_id is not null then 'takes part in the open rollout "' || t.name || '"'
    when p.device_id is not null
      then 'is in the penalty box: ' || p.failures
        || ${` updates failed in ${penalty.days} days`}
    ${hops.length > 1 ? sql`when s.firmware_sha256 is null then 'has not told what it runs'` : sql``}`;
}

/** Number of the newest hop that the device's version permits, from 1; null where none does. */
function hopOf({ hops }: Question) {
  const steps = [...hops.entries()].reverse().map(([index, hop]) => {
    const newer = sql`coalesce(s.firmware_version_key < ${hop.versionKey ?? "~"}, true)`;
    const known = hop.minimumKey
      ? sql`coalesce(s.firmware_version_key >= ${hop.minimumKey}, false)`
      : sql`true`;
    // The release itself takes devices whose version cannot be compared; a stone does not.
    const fits = index === hops.length - 1 ? known : sql`${newer} and ${known}`;
    return sql`when ${fits} then ${sql.raw(String(index + 1))}`;
  });
  return sql`case ${sql.join(steps, sql` `)} end`;
}

/** What comes before the hash in the order of devices. */
function orderKey(policy: RolloutPolicy) {
  if (policy.order !== "least-critical-first") return sql`0::numeric`;
  const tag = tagOf(policy.criticalityTag ?? "criticality");
  return sql`case lower(${tag}) when 'low' then 0 when 'medium' then 1 when 'high' then 2
    when 'critical' then 3
    else case when ${tag} ~ '^-?[0-9]{1,9}([.][0-9]{1,9})?$' then (${tag})::numeric else 0 end end`;
}

function tagOf(tag: string) {
  return sql`(d.tags ->> ${tag}::text)`;
}
