import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import type { BytesBySource } from "../protocol/index.ts";
import { type CounterRow, readCounters, readEvidence } from "./counter-store.ts";
import type { DeviceRow } from "./device-store.ts";
import { inDocumentedOrder } from "./documented-order.ts";
import { countsOf } from "./facts.ts";
import type { MetricNumbers, MetricTotals, Verdict } from "./gate/index.ts";
import type { RolloutPolicy } from "./policy.ts";
import { type RolloutRow, readStages, releaseNames, type StageRow } from "./rollout-store.ts";
import { type DeviceState, type Failure, groupCounts } from "./states.ts";
import type { RolloutDeviceView, RolloutView, VerdictView } from "./types.ts";
import type { VerdictRow } from "./verdict-store.ts";

const HOUR_MS = 3_600_000;

/** Rollouts as people see them: a handful of rows each, however many devices they have. */
export async function viewRollouts(
  tx: Tx,
  tenantId: string,
  rows: readonly RolloutRow[],
): Promise<RolloutView[]> {
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const counters = Map.groupBy(await readCounters(tx, tenantId, ids), (row) => row.rollout_id);
  const stages = Map.groupBy(await readStages(tx, tenantId, ids), (row) => row.rollout_id);
  const evidence = await readEvidence(tx, tenantId, ids);
  const releases = await releaseNames(
    tx,
    tenantId,
    rows.map((row) => row.release_id),
  );
  return rows.map((row) =>
    viewOf(row, {
      counters: counters.get(row.id) ?? [],
      stages: stages.get(row.id) ?? [],
      evidence: evidence.get(row.id)?.totals ?? {},
      release: releases.get(row.release_id) ?? { version: "", product: "" },
    }),
  );
}

interface Parts {
  counters: CounterRow[];
  stages: StageRow[];
  evidence: Record<string, MetricTotals>;
  release: { version: string; product: string };
}

type CountedAmount = Exclude<keyof CounterRow, "rollout_id" | "stage_index" | "state">;

function viewOf(row: RolloutRow, parts: Parts): RolloutView {
  const { counters } = parts;
  const groups = groupCounts(countsOf(counters));
  const sum = (key: CountedAmount) => counters.reduce((total, counter) => total + counter[key], 0);
  const bySource = {
    platform: sum("bytes_platform"),
    store: sum("bytes_store"),
    cache: sum("bytes_cache"),
  };
  return {
    id: row.id,
    name: row.name,
    kind: row.kind,
    state: row.state,
    stateReason: row.state_reason,
    releaseId: row.release_id,
    release: parts.release,
    rollsBack: row.rolls_back,
    rollsBackStage: row.rolls_back_stage,
    query: row.query,
    policy: inDocumentedOrder(row.policy as RolloutPolicy),
    stageIndex: row.stage_index,
    stageStartedAt: row.stage_started_at,
    stages: parts.stages.map((stage) => ({
      index: stage.stage_index,
      name: stage.name,
      cumulativeDevices: stage.cumulative_devices,
      startedAt: stage.started_at,
      finishedAt: stage.finished_at,
      counts: countsOf(counters.filter((counter) => counter.stage_index === stage.stage_index)),
    })),
    totals: {
      devices: sum("devices"),
      pending: groups.pending,
      inProgress: groups.offered + groups.underway,
      succeeded: groups.succeeded,
      failed: groups.failed,
      excluded: sum("excluded"),
    },
    evidence: viewEvidence(row, parts.evidence),
    lastVerdict: viewLastVerdict(row.last_verdict as Verdict | null),
    nextEvaluationAt: row.next_evaluation_at,
    nextLookAt: row.state === "running" && row.kind === "update" ? row.look_due_at : null,
    bytesDownloaded: sum("bytes_downloaded"),
    bytesFull: sum("bytes_full"),
    bytesBySource: {
      ...bySource,
      unknown: Math.max(0, sum("bytes_downloaded") - sumOf(bySource)),
    },
    createdAt: row.created_at,
    createdBy: row.created_by,
    // What has ended waits for nobody.
    needsApproval: row.needs_approval && row.approved_at === null && row.finished_at === null,
    approvedBy: row.approved_by,
    startedAt: row.started_at,
    pausedAt: row.paused_at,
    finishedAt: row.finished_at,
    revision: row.revision,
  };
}

function sumOf({ platform, store, cache }: BytesBySource): number {
  return platform + store + cache;
}

/** The counts as they stand, with E and the likelihood ratio of the gate's last look. */
function viewEvidence(
  row: RolloutRow,
  evidence: Record<string, MetricTotals>,
): RolloutView["evidence"] {
  const verdict = row.last_verdict as {
    numbers?: { metrics?: Record<string, MetricNumbers> };
  } | null;
  const judged = verdict?.numbers?.metrics ?? {};
  const arm = (totals: MetricTotals["treated"]) => ({
    events: totals.events,
    deviceHours: totals.exposureMs / HOUR_MS,
  });
  const view: RolloutView["evidence"] = {};
  for (const [metric, totals] of Object.entries(evidence)) {
    const numbers = judged[metric];
    view[metric] = {
      treated: arm(totals.treated),
      control: arm(totals.control),
      eValue: numbers?.eValue ?? 1,
      likelihoodRatio: numbers?.likelihoodRatio ?? 1,
      pauseAt: numbers?.pauseAt ?? null,
    };
  }
  for (const [metric, numbers] of Object.entries(judged)) view[metric] ??= numbers;
  return view;
}

function viewLastVerdict(verdict: Verdict | null): RolloutView["lastVerdict"] {
  return verdict && { ...verdict, at: new Date(verdict.at) };
}

export function viewDevice(row: Omit<DeviceRow, "assignment" | "counted">): RolloutDeviceView {
  return {
    deviceId: row.device_id,
    stageIndex: row.stage_index,
    state: row.state as DeviceState,
    progress: row.progress,
    sourceVersion: row.source_version,
    excludedReason: row.excluded_reason,
    format: row.format,
    bytesDownloaded: row.bytes_downloaded,
    bytesFull: row.bytes_full,
    failure: row.failure as Failure | null,
    offeredAt: row.offered_at,
    updatedAt: row.updated_at,
    finishedAt: row.finished_at,
  };
}

export function viewVerdict(row: VerdictRow): VerdictView {
  return {
    seq: row.seq,
    at: row.at,
    stageIndex: row.stage_index,
    decision: row.decision,
    rule: row.rule,
    sentence: row.sentence,
    numbers: row.numbers as Record<string, unknown>,
    decidedBy: row.decided_by,
  };
}

/** A whole number out of a page's cursor. */
export function parsePosition(cursor: string | undefined): number | undefined {
  if (cursor === undefined) return undefined;
  if (!/^\d{1,15}$/.test(cursor)) throw badCursor();
  return Number(cursor);
}

/** Stage and ordinal, as a list of devices writes them. */
export function parsePlace(
  cursor: string | undefined,
): { stage: number; ordinal: number } | undefined {
  if (cursor === undefined) return undefined;
  const [, stage, ordinal] = /^(\d{1,4})\.(\d{1,9})$/.exec(cursor) ?? [];
  if (stage === undefined || ordinal === undefined) throw badCursor();
  return { stage: Number(stage), ordinal: Number(ordinal) };
}

export function badCursor(): AppError {
  return new AppError("invalid-cursor", "the cursor was not made by this list");
}
