import { randomUUID } from "node:crypto";
import { type RawBuilder, sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { cohortOfJudged, MAX_COHORTS } from "./cohorts-store.ts";
import type { Hop } from "./planning.ts";
import type { RolloutPolicy } from "./policy.ts";

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

/** The same for who can wait for the next time; false while somebody else plans. */
export async function tryLockPlanning(tx: Tx, tenantId: string): Promise<boolean> {
  const { rows } = await sql<{ taken: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended(${`rollouts/${tenantId}`}, 0)) as taken`.execute(
    tx,
  );
  return rows[0]?.taken ?? false;
}

/** Tells the database what the table holds now, so that the reconciler's queries use its indexes. */
export async function refreshStatistics(tx: Tx): Promise<void> {
  await sql`select vautn.analyze_rollouts()`.execute(tx);
}

/** Devices of the judged fleet that are alike in all that a plan counts. */
export interface JudgedGroup {
  refusal: string | null;
  exclusion: string | null;
  firmware_version: string | null;
  firmware_sha256: string | null;
  formats: string[];
  hop: number;
  reach: keyof Reach;
  devices: number;
}

/** The fleet in one reading: a million rows are not gone through for each thing that is counted. */
export async function judgedGroups(tx: Tx, nowMs: number): Promise<JudgedGroup[]> {
  const since = (days: number) => new Date(nowMs - days * 86_400_000);
  const { rows } = await sql<JudgedGroup>`
    select refusal, exclusion, firmware_version, firmware_sha256, formats, hop,
           case when presence in ('online', 'late') then 'now'
                when last_seen_at >= ${since(1)} then 'day'
                when last_seen_at >= ${since(7)} then 'week'
                when last_seen_at >= ${since(30)} then 'month' else 'longer' end as reach,
           count(*) as devices
    from judged group by 1, 2, 3, 4, 5, 6, 7`.execute(tx);
  return rows;
}

/** How many devices there are of each reason, commonest first. */
export function countReasons(
  groups: readonly JudgedGroup[],
  what: "refusal" | "exclusion",
): { reason: string; devices: number }[] {
  const counts = new Map<string, number>();
  for (const group of groups) {
    const reason = group[what];
    if (reason === null || (what === "exclusion" && group.refusal !== null)) continue;
    counts.set(reason, (counts.get(reason) ?? 0) + group.devices);
  }
  return [...counts]
    .map(([reason, devices]) => ({ reason, devices }))
    .sort((left, right) => right.devices - left.devices || (left.reason < right.reason ? -1 : 1));
}

export interface DeviceReason {
  deviceId: string;
  reason: string;
}

/** The first devices that are refused, or not compared, each with its reason. */
export async function judgedReasons(
  tx: Tx,
  what: "refusal" | "exclusion",
  limit: number,
  after = "",
): Promise<DeviceReason[]> {
  const { rows } = await sql<DeviceReason>`
    select id as "deviceId", ${sql.ref(what)} as reason from judged
    where ${sql.ref(what)} is not null and id > ${after}
      and (${sql.lit(what)} = 'refusal' or refusal is null)
    order by id limit ${limit}`.execute(tx);
  return rows;
}

/** Devices that take part, by what they run, what they understand and their first hop. */
export interface JudgedKind {
  firmware_version: string | null;
  firmware_sha256: string | null;
  formats: string[];
  hop: number;
  devices: number;
}

/** The commonest first. */
export function judgedKinds(groups: readonly JudgedGroup[]): JudgedKind[] {
  const kinds = new Map<string, JudgedKind>();
  for (const { refusal, firmware_version, firmware_sha256, formats, hop, devices } of groups) {
    if (refusal !== null) continue;
    const key = JSON.stringify([firmware_version, firmware_sha256, formats, hop]);
    const kind = kinds.get(key);
    if (kind) kind.devices += devices;
    else kinds.set(key, { firmware_version, firmware_sha256, formats, hop, devices });
  }
  const order = ({ firmware_version: version, firmware_sha256: sha256 }: JudgedKind) =>
    `${version ?? "~"}/${sha256 ?? "~"}`;
  return [...kinds.values()].sort(
    (left, right) => right.devices - left.devices || (order(left) < order(right) ? -1 : 1),
  );
}

/** Devices that run any of the images, in the order of their ids. */
export async function judgedRunning(
  tx: Tx,
  sha256s: readonly (string | null)[],
  limit: number,
): Promise<{ id: string; firmware_sha256: string | null }[]> {
  const known = sha256s.filter((sha256) => sha256 !== null);
  const { rows } = await sql<{ id: string; firmware_sha256: string | null }>`
    select id, firmware_sha256 from judged
    where refusal is null and (firmware_sha256 = any(${known}::text[])
      or (firmware_sha256 is null and ${sha256s.includes(null)}))
    order by id limit ${limit}`.execute(tx);
  return rows;
}

/** Some of the devices that take part and are there, chosen by the hash of their order. */
export async function judgedSample(tx: Tx, limit: number): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from judged where refusal is null and exclusion is null
    order by hash limit ${limit}`.execute(tx);
  return rows.map(({ id }) => id);
}

/** How long ago the devices that take part were last heard: what a rollout has to wait for. */
export interface Reach {
  now: number;
  day: number;
  week: number;
  month: number;
  longer: number;
}

export function judgedReach(groups: readonly JudgedGroup[]): Reach {
  const reached = { now: 0, day: 0, week: 0, month: 0, longer: 0 };
  for (const group of groups) if (group.refusal === null) reached[group.reach] += group.devices;
  return reached;
}

/** Crashes of the compared devices' kind in the last fortnight, for how long evidence takes. */
export async function crashesSince(tx: Tx, tenantId: string, since: Date): Promise<number> {
  const { rows } = await sql<{ crashes: number }>`
    select count(*) as crashes from device_incidents
    where tenant_id = ${tenantId} and kind in ('crash', 'restart')
      and occurred_at >= ${since}`.execute(tx);
  return rows[0]?.crashes ?? 0;
}

/** Of a first stage that is larger the rest is taken as everybody is, and nothing is sorted for it. */
const MAX_SPREAD = 1_000;

/**
 * The devices that take part in their order, by a hash of the seed so that nobody chooses it:
 * first the canaries, one of each hardware revision and region in turn, none of them a device that
 * the gate leaves out; then by the policy's order. Where there is one stage nobody is a canary.
 */
function ordered({ canaries, order }: Ordering) {
  const bySite = order === "one-per-site-first";
  // Devices without a site are each a site of their own.
  const round = sql`row_number() over (partition by coalesce(site, 'device/' || id) order by hash)`;
  const fitting = bySite
    ? sql`(select *, ${round} as site_round from judged where refusal is null)`
    : sql`(select * from judged where refusal is null)`;
  // A column that is the same for all is not sorted by: a million rows notice.
  const firstly = bySite
    ? sql`site_round, key, `
    : order === "least-critical-first"
      ? sql`key, `
      : sql``;
  if (canaries === 0) {
    return sql`select f.*, row_number() over (order by ${firstly}hash) - 1 as ordinal
      from ${fitting} f`;
  }
  const spread = Math.min(canaries, MAX_SPREAD);
  return sql`
    select f.*, row_number() over (order by c.rank nulls last, ${firstly}hash) - 1 as ordinal
    from ${fitting} f
    left join (
      select id, row_number() over (order by ${bySite ? sql`key, site_round, ` : firstly}
                                    kind_round, hash) as rank
      from (select id, key, hash, ${bySite ? sql`site_round, ` : sql``}
                   row_number() over (partition by hardware_revision, region
                                      order by ${firstly}hash) as kind_round
            from ${fitting} k where exclusion is null) rounds
      where kind_round <= ${spread}
      order by rank limit ${spread}) c using (id)`;
}

export interface Ordering {
  /** Devices of the first stage where others come after it, else none. */
  canaries: number;
  order: RolloutPolicy["order"];
}

/** The first devices of each stage, by the stages' cumulative sizes. */
export async function stageDevices(
  tx: Tx,
  ordering: Ordering,
  sizes: readonly number[],
  limit: number,
): Promise<string[][]> {
  const { rows } = await sql<{ id: string; ordinal: number }>`
    select o.id, o.ordinal from (${ordered(ordering)}) o
    join unnest(${[0, ...sizes.slice(0, -1)]}::int[], ${[...sizes]}::int[]) as b(first, past)
      on o.ordinal >= b.first and o.ordinal < least(b.past, b.first + ${limit}::int)
    order by o.ordinal`.execute(tx);
  return sizes.map((past, index) => {
    const first = sizes[index - 1] ?? 0;
    const members = rows.filter(({ ordinal }) => ordinal >= first && ordinal < past);
    return members.map(({ id }) => id);
  });
}

/** A page of the devices that take part, in their order, from an ordinal on. */
export async function orderedDevices(
  tx: Tx,
  ordering: Ordering,
  from: number,
  limit: number,
): Promise<{ id: string; ordinal: number; exclusion: string | null }[]> {
  const { rows } = await sql<{ id: string; ordinal: number; exclusion: string | null }>`
    select id, ordinal, exclusion from (${ordered(ordering)}) o
    where ordinal >= ${from} order by ordinal limit ${limit}`.execute(tx);
  return rows;
}

/** Devices of a new rollout that are alike in all that is counted. */
interface WrittenDevices {
  stage: number;
  cohort: number;
  isExcluded: boolean;
  isAbsent: boolean;
  devices: number;
}

/**
 * An update's id of a rollout's own sixty random bits and its place: random ones for each of a million
 * rows take the database seconds, and in the order of the rows their index grows at its end. As text it
 * is a UUID of version 4; who knows one can do nothing with it that its device could not.
 */
function updateIdOf(ordinal: RawBuilder<unknown>) {
  const own = randomUUID().replaceAll("-", "").slice(0, 16);
  // The lowest of all bigints begins with a bit that stands for the variant of RFC 9562.
  return sql`(${own}::text || encode(int8send((-9223372036854775807 - 1) + ${ordinal}), 'hex'))::uuid`;
}

/** Writes the devices that take part into a rollout; returns what is to be counted of them. */
export async function insertJudged(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  ordering: Ordering,
  sizes: readonly number[],
  hops: readonly Hop[],
): Promise<WrittenDevices[]> {
  const { rows } = await sql<WrittenDevices>`
    with written as (
      insert into rollout_devices
        (tenant_id, rollout_id, device_id, stage_index, ordinal, state, update_id, source_version,
         source_sha256, target_release_id, target_sha256, excluded_reason, bytes_full, site, zone,
         hops_left, cohort, is_absent)
      select ${tenantId}, ${rolloutId}, j.id,
             width_bucket(j.ordinal, ${[...sizes]}::bigint[]), j.ordinal, 'pending',
             ${updateIdOf(sql`j.ordinal`)},
             j.firmware_version, j.firmware_sha256, h.release_id, h.sha256, j.exclusion,
             h.bytes_full, j.budget, j.zone, ${hops.length} - j.hop,
             coalesce(c.cohort, ${MAX_COHORTS - 1}), j.presence = 'offline'
      from (${ordered(ordering)}) j
      join ${hopRows(hops)} on h.hop = j.hop
      ${cohortOfJudged(tenantId, rolloutId)}
      returning stage_index, cohort, excluded_reason is not null as is_excluded, is_absent)
    select stage_index as stage, cohort, is_excluded as "isExcluded", is_absent as "isAbsent",
           count(*) as devices
    from written group by 1, 2, 3, 4`.execute(tx);
  return rows;
}

export function hopRows(hops: readonly Hop[]) {
  return sql`unnest(${hops.map((_, index) => index + 1)}::int[],
      ${hops.map((hop) => hop.releaseId)}::uuid[], ${hops.map((hop) => hop.sha256)}::text[],
      ${hops.map((hop) => hop.sizeBytes)}::bigint[]) as h(hop, release_id, sha256, bytes_full)`;
}

/** Published releases of a product by version: where stepping stones come from. */
export async function releasesByVersion(
  tx: Tx,
  tenantId: string,
  product: string,
  versions: readonly string[],
): Promise<SteppingStone[]> {
  const { rows } = await sql<SteppingStone>`
    select id, version, image_sha256, image_size_bytes, minimum_source_version, security_counter
    from releases
    where tenant_id = ${tenantId} and product = ${product} and status = 'published'
      and version = any(${[...versions]}::text[])`.execute(tx);
  return rows;
}

export interface SteppingStone {
  id: string;
  version: string;
  image_sha256: string;
  image_size_bytes: number;
  minimum_source_version: string | null;
  security_counter: number;
}
