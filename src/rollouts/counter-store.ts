import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { BytesBySource } from "../protocol/index.ts";
import { type ArmDelta, armIn, moveArms } from "./cohorts-store.ts";
import type { MetricTotals } from "./gate/index.ts";
import { DEVICE_STATES, type DeviceState } from "./states.ts";

/** A device that left one state for another. */
export interface Step {
  rolloutId: string;
  stageIndex: number;
  from: DeviceState;
  to: DeviceState;
  excluded: boolean;
  /** Of devices that are compared and can be heard; null of the others. */
  cohort: number | null;
  /** Counted under the new state. */
  bytesDownloaded: number;
  bytesFull: number;
  bytesBySource?: BytesBySource;
}

/** What is known of a device before it moves. */
export interface Member {
  stage_index: number;
  state: DeviceState;
  excluded_reason: string | null;
  cohort: number;
  is_absent: boolean;
}

/** A device's move as the counters take it. */
export function stepOf(
  rolloutId: string,
  device: Member,
  to: DeviceState,
  bytes: Partial<Pick<Step, "bytesDownloaded" | "bytesFull" | "bytesBySource">> = {},
): Step {
  const excluded = device.excluded_reason !== null;
  return {
    rolloutId,
    stageIndex: device.stage_index,
    from: device.state,
    to,
    excluded,
    cohort: excluded || device.is_absent ? null : device.cohort,
    bytesDownloaded: bytes.bytesDownloaded ?? 0,
    bytesFull: bytes.bytesFull ?? 0,
    ...(bytes.bytesBySource ? { bytesBySource: bytes.bytesBySource } : {}),
  };
}

export const EVIDENCE_METRICS = [
  "crash",
  "silence",
  "self-test",
  "fallback",
  "error-log",
  "disconnect",
] as const;
export type EvidenceMetric = (typeof EVIDENCE_METRICS)[number];

/** A row for every stage and state, so that moving a device never inserts and never waits for one. */
export async function createCounters(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  stageCount: number,
  metrics: readonly string[] = [],
): Promise<void> {
  await sql`
    insert into rollout_counters (tenant_id, rollout_id, stage_index, state)
    select ${tenantId}, ${rolloutId}, stage, state
    from generate_series(0, ${stageCount - 1}) stage, unnest(${[...DEVICE_STATES]}::text[]) state
  `.execute(tx);
  // Events are weighed within each cohort; pairs are of one cohort each by their making.
  await sql`
    insert into rollout_evidence (tenant_id, rollout_id, metric, arm, cohort)
    select ${tenantId}::text, ${rolloutId}::uuid, metric, arm, cohort
    from unnest(${[...EVIDENCE_METRICS]}::text[]) metric, unnest(array['treated', 'control']) arm,
         (select cohort from rollout_cohorts
          where tenant_id = ${tenantId} and rollout_id = ${rolloutId}) cohorts
    union all
    select ${tenantId}, ${rolloutId}::uuid, metric, arm, 0
    from unnest(${[...metrics]}::text[]) metric, unnest(array['treated', 'control']) arm
  `.execute(tx);
}

/** What has been written of a new rollout, all of it pending; nothing is read again for it. */
export async function countWritten(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  written: readonly { stage: number; isExcluded: boolean; devices: number }[],
): Promise<void> {
  const excluded = (row: (typeof written)[number]) => (row.isExcluded ? row.devices : 0);
  await sql`
    update rollout_counters c set devices = n.devices, excluded = n.excluded
    from (select stage, sum(devices) as devices, sum(excluded) as excluded
          from unnest(${written.map((row) => row.stage)}::int[],
                      ${written.map((row) => row.devices)}::int[],
                      ${written.map(excluded)}::int[]) as w(stage, devices, excluded)
          group by stage) n
    where c.tenant_id = ${tenantId} and c.rollout_id = ${rolloutId}
      and c.stage_index = n.stage and c.state = 'pending'`.execute(tx);
}

/** Devices of new rows, by stage: they all begin as pending, or withdrawn. */
export async function countNewDevices(tx: Tx, tenantId: string, rolloutId: string): Promise<void> {
  await sql`
    update rollout_counters c set devices = n.devices, excluded = n.excluded
    from (select stage_index, state, count(*) as devices,
                 count(*) filter (where excluded_reason is not null) as excluded
          from rollout_devices where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
          group by stage_index, state) n
    where c.tenant_id = ${tenantId} and c.rollout_id = ${rolloutId}
      and c.stage_index = n.stage_index and c.state = n.state`.execute(tx);
}

/**
 * Moves the counters along with devices: one statement however many they are. Rows are locked in one
 * order everywhere, so that two batches wait for each other and do not deadlock.
 */
export async function moveCounters(
  tx: Tx,
  tenantId: string,
  steps: readonly Step[],
): Promise<void> {
  await moveStates(tx, tenantId, steps);
  await moveArms(tx, tenantId, armDeltas(steps));
}

async function moveStates(tx: Tx, tenantId: string, steps: readonly Step[]): Promise<void> {
  const deltas = new Map<string, Delta>();
  const at = (step: Step, state: DeviceState): Delta => {
    const key = `${step.rolloutId}/${step.stageIndex}/${state}`;
    let delta = deltas.get(key);
    if (!delta) {
      const { rolloutId, stageIndex } = step;
      delta = { rolloutId, stageIndex, state, ...emptyDelta() };
      deltas.set(key, delta);
    }
    return delta;
  };
  for (const step of steps) {
    const from = at(step, step.from);
    const to = at(step, step.to);
    from.devices -= 1;
    to.devices += 1;
    if (step.excluded) {
      from.excluded -= 1;
      to.excluded += 1;
    }
    to.downloaded += step.bytesDownloaded;
    to.full += step.bytesFull;
    for (const source of SOURCES) to[source] += step.bytesBySource?.[source] ?? 0;
  }
  const rows = [...deltas.values()].filter((row) => AMOUNTS.some((amount) => row[amount] !== 0));
  if (rows.length === 0) return;
  await sql`
    with delta as (
      select * from unnest(
        ${rows.map((row) => row.rolloutId)}::uuid[], ${rows.map((row) => row.stageIndex)}::int[],
        ${rows.map((row) => row.state)}::text[], ${rows.map((row) => row.devices)}::int[],
        ${rows.map((row) => row.excluded)}::int[], ${rows.map((row) => row.downloaded)}::bigint[],
        ${rows.map((row) => row.full)}::bigint[], ${rows.map((row) => row.platform)}::bigint[],
        ${rows.map((row) => row.store)}::bigint[], ${rows.map((row) => row.cache)}::bigint[]
      ) as d(rollout_id, stage_index, state, devices, excluded, downloaded, bytes_full,
        platform, store, cache)),
    locked as (
      select c.rollout_id, c.stage_index, c.state
      from rollout_counters c join delta d using (rollout_id, stage_index, state)
      where c.tenant_id = ${tenantId}
      order by c.rollout_id, c.stage_index, c.state for update of c)
    update rollout_counters c
    set devices = c.devices + d.devices, excluded = c.excluded + d.excluded,
        bytes_downloaded = c.bytes_downloaded + d.downloaded,
        bytes_full = c.bytes_full + d.bytes_full,
        bytes_platform = c.bytes_platform + d.platform, bytes_store = c.bytes_store + d.store,
        bytes_cache = c.bytes_cache + d.cache
    from locked l join delta d using (rollout_id, stage_index, state)
    where c.tenant_id = ${tenantId} and c.rollout_id = l.rollout_id
      and c.stage_index = l.stage_index and c.state = l.state`.execute(tx);
}

function armDeltas(steps: readonly Step[]): ArmDelta[] {
  const deltas = new Map<string, ArmDelta>();
  for (const { rolloutId, cohort, from, to } of steps) {
    if (cohort === null) continue;
    const key = `${rolloutId}/${cohort}`;
    const delta = deltas.get(key) ?? { rolloutId, cohort, treated: 0, control: 0 };
    const left = armIn(from);
    const entered = armIn(to);
    if (left) delta[left] -= 1;
    if (entered) delta[entered] += 1;
    deltas.set(key, delta);
  }
  return [...deltas.values()];
}

interface Delta {
  rolloutId: string;
  stageIndex: number;
  state: DeviceState;
  devices: number;
  excluded: number;
  downloaded: number;
  full: number;
  platform: number;
  store: number;
  cache: number;
}

const SOURCES = ["platform", "store", "cache"] as const;
const AMOUNTS = ["devices", "excluded", "downloaded", "full", ...SOURCES] as const;

function emptyDelta(): Pick<Delta, (typeof AMOUNTS)[number]> {
  return { devices: 0, excluded: 0, downloaded: 0, full: 0, platform: 0, store: 0, cache: 0 };
}

export interface CounterRow {
  rollout_id: string;
  stage_index: number;
  state: DeviceState;
  devices: number;
  excluded: number;
  bytes_downloaded: number;
  bytes_full: number;
  bytes_platform: number;
  bytes_store: number;
  bytes_cache: number;
}

export async function readCounters(
  tx: Tx,
  tenantId: string,
  rolloutIds: readonly string[],
): Promise<CounterRow[]> {
  const rows = await tx
    .selectFrom("rollout_counters")
    .select([
      "rollout_id",
      "stage_index",
      "state",
      "devices",
      "excluded",
      "bytes_downloaded",
      "bytes_full",
      "bytes_platform",
      "bytes_store",
      "bytes_cache",
    ])
    .where("tenant_id", "=", tenantId)
    .where("rollout_id", "in", [...rolloutIds])
    .execute();
  return rows as CounterRow[];
}

export interface EvidenceDelta {
  rolloutId: string;
  metric: string;
  arm: "treated" | "control";
  cohort: number;
  events: number;
  rawEvents: number;
}

export async function addEvidence(
  tx: Tx,
  tenantId: string,
  deltas: readonly EvidenceDelta[],
): Promise<void> {
  const key = (delta: EvidenceDelta) =>
    `${delta.rolloutId}/${delta.metric}/${delta.arm}/${delta.cohort}`;
  const sorted = [...deltas].sort((left, right) => (key(left) < key(right) ? -1 : 1));
  for (const delta of sorted) {
    await sql`
      update rollout_evidence
      set events = events + ${delta.events}, raw_events = raw_events + ${delta.rawEvents}
      where tenant_id = ${tenantId} and rollout_id = ${delta.rolloutId}
        and metric = ${delta.metric} and arm = ${delta.arm}
        and cohort = ${delta.cohort}`.execute(tx);
  }
}

/** Totals of both arms by metric, and by cohort and metric. */
export interface Evidence {
  totals: Record<string, MetricTotals>;
  cohorts: Record<number, Record<string, MetricTotals>>;
}

export async function readEvidence(
  tx: Tx,
  tenantId: string,
  rolloutIds: readonly string[],
): Promise<Map<string, Evidence>> {
  const rows = await tx
    .selectFrom("rollout_evidence")
    .select(["rollout_id", "metric", "arm", "cohort", "events", "raw_events", "exposure_ms"])
    .where("tenant_id", "=", tenantId)
    .where("rollout_id", "in", [...rolloutIds])
    .orderBy("metric")
    .execute();
  const all = new Map<string, Evidence>();
  for (const row of rows) {
    const evidence = all.get(row.rollout_id) ?? { totals: {}, cohorts: {} };
    all.set(row.rollout_id, evidence);
    evidence.cohorts[row.cohort] ??= {};
    const own = evidence.cohorts[row.cohort] as Record<string, MetricTotals>;
    for (const part of [evidence.totals, own]) {
      part[row.metric] ??= { treated: nothing(), control: nothing() };
      const totals = (part[row.metric] as MetricTotals)[row.arm as "treated" | "control"];
      totals.events += row.events;
      totals.rawEvents += row.raw_events;
      totals.exposureMs += row.exposure_ms;
    }
  }
  return all;
}

function nothing() {
  return { events: 0, rawEvents: 0, exposureMs: 0 };
}
