import type { Tx } from "../db/index.ts";
import { countAbsent } from "./absence-store.ts";
import { readCohorts } from "./cohorts-store.ts";
import type { DrawnPairs } from "./comparison.ts";
import { type CounterRow, type Evidence, readCounters, readEvidence } from "./counter-store.ts";
import {
  type GateFacts,
  type MetricTotals,
  type Observation,
  releasedDevices,
} from "./gate/index.ts";
import type { RolloutPolicy } from "./policy.ts";
import type { Polled } from "./polled-events.ts";
import { type RolloutRow, readStages, type StageRow } from "./rollout-store.ts";
import { type DeviceState, groupCounts } from "./states.ts";

export interface Observed {
  observations: Observation[];
  unobserved: string[];
  /** Pairs and events that the look is to take in; none where a person looks. */
  drawn?: DrawnPairs[];
  polled?: Polled | undefined;
}

export interface RolloutFacts {
  gate: GateFacts;
  stages: StageRow[];
  counters: CounterRow[];
  /** Devices that the rollout may have offered the update to by now. */
  released: number;
}

/** What the gate looks at, read from counters alone. */
export async function readFacts(
  tx: Tx,
  rollout: RolloutRow,
  observed: Observed,
  nowMs: number,
): Promise<RolloutFacts> {
  const { tenant_id: tenantId, id } = rollout;
  const stages = await readStages(tx, tenantId, [id]);
  const counters = await readCounters(tx, tenantId, [id]);
  const evidence = (await readEvidence(tx, tenantId, [id])).get(id) ?? { totals: {}, cohorts: {} };
  const cohorts = await cohortsOf(tx, rollout, evidence);
  const stage = stages[rollout.stage_index] as StageRow;
  const startedAtMs = (rollout.stage_started_at ?? new Date(nowMs)).getTime();
  const released = releasedNow(rollout, stages, nowMs);
  const widening = stages.filter((candidate) => !candidate.is_holdback);
  const inStage = counters.filter((row) => row.stage_index === rollout.stage_index);
  const excluded = counters.reduce((sum, row) => sum + row.excluded, 0);
  const isCanary = rollout.stage_index === 0 && widening.length > 1;
  const gate: GateFacts = {
    stageIndex: rollout.stage_index,
    stageName: stage.name,
    stageStartedAtMs: startedAtMs,
    isCanary,
    isLast: rollout.stage_index === widening.length - 1,
    isFinal: rollout.stage_index === stages.length - 1,
    isHoldback: stage.is_holdback,
    fullyOffered: released >= stage.cumulative_devices,
    evidence: evidence.totals,
    ...(cohorts ? { cohorts } : {}),
    stageUpdates: groupCounts(countsOf(inStage)),
    // Only the canaries are asked: of later stages nothing hangs on it.
    stageAbsent: isCanary ? await countAbsent(tx, tenantId, id, 0) : 0,
    updates: groupCounts(countsOf(counters)),
    excluded: excluded > 0 ? { "chronic or not connected": excluded } : {},
    observations: observed.observations,
    unobserved: observed.unobserved,
  };
  return { gate, stages, counters, released };
}

export function releasedNow(
  rollout: RolloutRow,
  stages: readonly StageRow[],
  nowMs: number,
): number {
  const stage = stages[rollout.stage_index] as StageRow;
  const before = stages[rollout.stage_index - 1]?.cumulative_devices ?? 0;
  const policy = rollout.policy as RolloutPolicy;
  const ageSeconds = (nowMs - (rollout.stage_started_at?.getTime() ?? nowMs)) / 1_000;
  const full = stage.cumulative_devices;
  const stagePolicy = stage.is_holdback ? undefined : policy.stages[rollout.stage_index];
  return releasedDevices(stagePolicy, before, full, ageSeconds);
}

/** Devices by state, over whatever stages the rows are of. */
export function countsOf(rows: readonly CounterRow[]): Partial<Record<DeviceState, number>> {
  const counts: Partial<Record<DeviceState, number>> = {};
  for (const row of rows) {
    if (row.devices > 0) counts[row.state] = (counts[row.state] ?? 0) + row.devices;
  }
  return counts;
}

/**
 * Evidence by cohort, those in which anything has been seen. Undefined for a rollout that is older
 * than cohorts: its first one has no name, and it is weighed as a whole to its end.
 */
async function cohortsOf(
  tx: Tx,
  rollout: RolloutRow,
  evidence: Evidence,
): Promise<Record<string, Record<string, MetricTotals>> | undefined> {
  const names = await readCohorts(tx, rollout.tenant_id, rollout.id);
  if ((names.get(0) ?? OTHERS) === OTHERS) return undefined;
  const seen = Object.entries(evidence.cohorts).flatMap(([cohort, metrics]) => {
    const isTouched = Object.values(metrics).some(
      ({ treated, control }) => treated.exposureMs + control.exposureMs + treated.events > 0,
    );
    return isTouched ? [[names.get(Number(cohort)) ?? cohort, metrics] as const] : [];
  });
  return Object.fromEntries(seen);
}

const OTHERS = "others";
