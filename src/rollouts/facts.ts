import type { Tx } from "../db/index.ts";
import { type AbsentRow, readAbsent } from "./absence-store.ts";
import type { DrawnPairs } from "./comparison.ts";
import { type CounterRow, readCounters, readEvidence } from "./counter-store.ts";
import { type GateFacts, type Observation, releasedDevices } from "./gate/index.ts";
import type { RolloutPolicy } from "./policy.ts";
import type { Polled } from "./polled-events.ts";
import { type RolloutRow, readStages, type StageRow } from "./rollout-store.ts";
import { type DeviceState, groupCounts } from "./states.ts";

/** States in which a device runs the new image, as far as exposure goes. */
export const TREATED_STATES: readonly DeviceState[] = ["confirming", "succeeded"];

export interface Observed {
  observations: Observation[];
  unobserved: string[];
  /** Pairs and events that the look is to take in; none where a person looks. */
  drawn?: DrawnPairs[];
  polled?: Polled;
}

export interface RolloutFacts {
  gate: GateFacts;
  stages: StageRow[];
  counters: CounterRow[];
  /** Devices that are silent now. */
  absent: AbsentRow[];
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
  const absent = await readAbsent(tx, tenantId, id);
  const evidence = (await readEvidence(tx, tenantId, [id])).get(id) ?? {};
  const stage = stages[rollout.stage_index] as StageRow;
  const startedAtMs = (rollout.stage_started_at ?? new Date(nowMs)).getTime();
  const released = releasedNow(rollout, stages, nowMs);
  const widening = stages.filter((candidate) => !candidate.is_holdback);
  const inStage = counters.filter((row) => row.stage_index === rollout.stage_index);
  const excluded = counters.reduce((sum, row) => sum + row.excluded, 0);
  const gate: GateFacts = {
    stageIndex: rollout.stage_index,
    stageName: stage.name,
    stageStartedAtMs: startedAtMs,
    isCanary: rollout.stage_index === 0 && widening.length > 1,
    isLast: rollout.stage_index === widening.length - 1,
    isFinal: rollout.stage_index === stages.length - 1,
    isHoldback: stage.is_holdback,
    fullyOffered: released >= stage.cumulative_devices,
    evidence,
    stageUpdates: groupCounts(countsOf(inStage)),
    stageAbsent: absent
      .filter(
        (row) => row.stage_index === rollout.stage_index && TREATED_STATES.includes(row.state),
      )
      .reduce((sum, row) => sum + row.devices, 0),
    updates: groupCounts(countsOf(counters)),
    excluded: excluded > 0 ? { "chronic or not connected": excluded } : {},
    observations: observed.observations,
    unobserved: observed.unobserved,
  };
  return { gate, stages, counters, absent, released };
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
 * How many devices add to the exposure of each arm. A device that is silent adds to none: it can show
 * no crash, and the time of one that the update has killed must not speak for the update.
 */
export function armSizes(
  rows: readonly CounterRow[],
  absent: readonly AbsentRow[],
): { treated: number; control: number } {
  const sum = (states: readonly DeviceState[]) => {
    const members = rows
      .filter((row) => states.includes(row.state))
      .reduce((total, row) => total + row.devices - row.excluded, 0);
    const away = absent
      .filter((row) => states.includes(row.state))
      .reduce((total, row) => total + row.devices, 0);
    return Math.max(0, members - away);
  };
  return { treated: sum(TREATED_STATES), control: sum(["pending"]) };
}
