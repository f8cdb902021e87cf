import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { type FleetQuery, fleetCondition } from "../devices/index.ts";
import type { RolloutPolicy } from "./policy.ts";
import type { Range } from "./turns.ts";
import { isOpen } from "./windows.ts";

/** Which devices may begin now, besides what the stage allows. */
export interface Pace {
  /** Zones in which the window is open; null without a window. */
  openZones: string[] | null;
  /** Devices more that may be under way at once. */
  room: number;
  /** How many of a site at once; null without a budget. */
  atMost: number | null;
  /** Devices under way by site. */
  busy: ReadonlyMap<string, number>;
}

/** Distinct zones are read by hopping along the index: some hundreds at most, whatever the fleet. */
const MAX_ZONES = 500;

export function isPaced(policy: RolloutPolicy): boolean {
  return Boolean(policy.window ?? policy.disruption ?? policy.maxConcurrent);
}

/** What is free at the moment; undefined where the policy sets no pace. */
export async function readPace(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  policy: RolloutPolicy,
  nowMs: number,
): Promise<Pace | undefined> {
  if (!isPaced(policy)) return undefined;
  const { window, disruption, maxConcurrent } = policy;
  // Counting and taking are one step here as in `takePlace`.
  if (disruption || maxConcurrent) await lockPlaces(tx, rolloutId);
  const busy = await busySites(tx, tenantId, rolloutId);
  const underway = [...busy.values()].reduce((sum, devices) => sum + devices, 0);
  const zones = window ? await pendingZones(tx, tenantId, rolloutId) : [];
  return {
    openZones: window ? zones.filter((zone) => isOpen(window, zone, nowMs)) : null,
    room: Math.max(0, (maxConcurrent ?? Number.MAX_SAFE_INTEGER) - underway),
    atMost: disruption?.atMost ?? null,
    busy,
  };
}

/**
 * Counting places and taking one are one step: two devices of a site must not both find the last
 * one. Who holds this lock waits for no row of a device that is offered or under way: those are
 * locked before it.
 */
async function lockPlaces(tx: Tx, rolloutId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`pace/${rolloutId}`}, 0))`.execute(tx);
}

/** Devices to which something is being done, by site; those without one under "". */
async function busySites(tx: Tx, tenantId: string, rolloutId: string) {
  const { rows } = await sql<{ site: string | null; devices: number }>`
    select site, count(*) as devices from rollout_devices
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and phase_deadline_at is not null
    group by site`.execute(tx);
  return new Map(rows.map(({ site, devices }) => [site ?? "", devices]));
}

async function pendingZones(tx: Tx, tenantId: string, rolloutId: string): Promise<string[]> {
  const pending = sql`select min(zone) as zone from rollout_devices
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and state = 'pending'
      and zone is not null`;
  const { rows } = await sql<{ zone: string }>`
    with recursive zones as (
      (${pending})
      union all
      select (${pending} and zone > zones.zone) from zones where zones.zone is not null)
    select zone from zones where zone is not null limit ${MAX_ZONES}`.execute(tx);
  return rows.map(({ zone }) => zone);
}

/**
 * Takes a place for a device that is about to be told of its offer. False while its window is
 * closed or its site's budget is spent; the reconciler reminds it.
 */
export async function takePlace(
  tx: Tx,
  tenantId: string,
  place: { rolloutId: string; site: string | null; zone: string | null },
  policy: RolloutPolicy,
  nowMs: number,
): Promise<boolean> {
  const { window, disruption, maxConcurrent } = policy;
  if (window && !isOpen(window, place.zone ?? "", nowMs)) return false;
  if (!disruption && !maxConcurrent) return true;
  await lockPlaces(tx, place.rolloutId);
  const busy = await busySites(tx, tenantId, place.rolloutId);
  const underway = [...busy.values()].reduce((sum, devices) => sum + devices, 0);
  if (maxConcurrent && underway >= maxConcurrent) return false;
  const { site } = place;
  return !disruption || site === null || (busy.get(site) ?? 0) < disruption.atMost;
}

/** A device that has an offer which it has not been told of, and is here to be told. */
export interface UntoldDevice {
  device_id: string;
  site: string | null;
  zone: string | null;
}

/** Those of them whose ordinals lie in any of the ranges (first to past), in order. */
export async function untoldDevices(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  ranges: readonly Range[],
): Promise<UntoldDevice[]> {
  const { rows } = await sql<UntoldDevice>`
    select d.device_id, d.site, d.zone
    from unnest(${ranges.map(([first]) => first)}::int[], ${ranges.map(([, past]) => past)}::int[])
      with ordinality as r(first, past, position)
    join rollout_devices d on d.tenant_id = ${tenantId} and d.rollout_id = ${rolloutId}
      and d.ordinal >= r.first and d.ordinal < r.past
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.device_id
    where d.state = 'offered' and d.phase_deadline_at is null and s.connected
    order by r.position, d.ordinal`.execute(tx);
  return rows;
}

export async function hasUntold(tx: Tx, tenantId: string, rolloutId: string): Promise<boolean> {
  const { rows } = await sql<{ any: boolean }>`
    select exists (select from rollout_devices
      where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and state = 'offered'
        and phase_deadline_at is null) as any`.execute(tx);
  return rows[0]?.any ?? false;
}

/** Devices under way by site; for who only looks and takes no place. */
export function readBusy(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
): Promise<ReadonlyMap<string, number>> {
  return busySites(tx, tenantId, rolloutId);
}

/** Of the given devices, those that the query still matches. */
export async function stillMatching(
  tx: Tx,
  tenantId: string,
  query: FleetQuery,
  deviceIds: readonly string[],
  nowMs: number,
): Promise<Set<string>> {
  const { rows } = await sql<{ id: string }>`
    select d.id from devices d
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.id
    where d.tenant_id = ${tenantId} and d.id = any(${[...deviceIds]}::text[])
      and ${fleetCondition(query, nowMs)}`.execute(tx);
  return new Set(rows.map((row) => row.id));
}
