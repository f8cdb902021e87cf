import { createHash } from "node:crypto";
import type { Tx } from "../db/index.ts";
import { addEvidence, type EvidenceDelta } from "./counter-store.ts";
import { readFigures, windowOf } from "./metric-figures.ts";
import { type Candidate, type Pair, pairCandidates, takePairs } from "./pairs-store.ts";
import type { RolloutPolicy } from "./policy.ts";
import type { MetricPolicy } from "./policy-parts.ts";
import { type RolloutRow, readStages } from "./rollout-store.ts";
import { turnOf } from "./turns.ts";
import type { RolloutsDeps } from "./types.ts";

/** Devices of an arm that one look goes through. */
const MAX_PAIRED = 1_000;

/** Pairs of one metric that a look has drawn and read, not yet taken. */
export interface DrawnPairs {
  metric: string;
  pairs: Pair[];
}

/**
 * Draws pairs of an updated device and one that waits, of the same hardware and region, each device
 * once a rollout and metric, and reads both over the same window of time. Throws where the
 * time-series store does not answer.
 */
export async function drawPairs(
  deps: RolloutsDeps,
  rollout: RolloutRow,
  metric: MetricPolicy,
): Promise<DrawnPairs> {
  const { tenant_id: tenantId, id } = rollout;
  const now = deps.clock.now();
  const window = windowOf(metric, now);
  const query = { key: keyOf(metric.metric), since: new Date(window.from) };
  const [treated, control] = await deps.db.tenant(tenantId, async (tx) => {
    const stages = await readStages(tx, tenantId, [id]);
    const total = stages.at(-1)?.cumulative_devices ?? 0;
    const next = stages[rollout.stage_index + 1];
    // Devices that come late are the last in the order, and may be updated once it is all open.
    const widened =
      !next || next.is_holdback
        ? total
        : (stages[rollout.stage_index]?.cumulative_devices ?? total);
    const everyMs = (rollout.policy as RolloutPolicy).evaluateEverySeconds * 1_000;
    // At each look the next ones: those that report nothing must not keep the others out.
    const turn = (first: number, past: number) =>
      turnOf(now, everyMs, { first, past, span: MAX_PAIRED });
    return [
      await pairCandidates(tx, tenantId, id, "treated", { ...query, ranges: turn(0, widened) }),
      await pairCandidates(tx, tenantId, id, "control", {
        ...query,
        ranges: widened < total ? turn(widened, total) : turn(0, total),
      }),
    ];
  });
  if (!treated?.length || !control?.length) return { metric: metric.metric, pairs: [] };
  // A query over both arms at once would be over twice the series that one may have.
  const figures = new Map<string, number>();
  for (const arm of [treated, control]) {
    const ids = arm.map((device) => device.device_id);
    const read = await readFigures(deps, tenantId, metric, ids, window);
    for (const [deviceId, figure] of read) figures.set(deviceId, figure);
  }
  return { metric: metric.metric, pairs: pairUp(metric, treated, control, figures, id) };
}

/** Pairs by lot within each stratum; devices that said nothing are in none. Pure. */
export function pairUp(
  metric: MetricPolicy,
  treated: readonly Candidate[],
  control: readonly Candidate[],
  figures: ReadonlyMap<string, number>,
  seed: string,
): Pair[] {
  const spoke = (device: Candidate) => figures.has(device.device_id);
  const lots = Map.groupBy(control.filter(spoke), (device) => device.stratum);
  for (const members of lots.values()) {
    members.sort((left, right) => (lot(seed, left) < lot(seed, right) ? -1 : 1));
  }
  return treated.filter(spoke).flatMap((device) => {
    const partner = lots.get(device.stratum)?.pop();
    if (!partner) return [];
    const isWorse = worse(
      metric,
      figures.get(device.device_id) as number,
      figures.get(partner.device_id) as number,
    );
    return [{ treated: device.device_id, control: partner.device_id, isWorse }];
  });
}

/** Whether a figure is worse than another by more than is tolerated. */
export function worse(metric: MetricPolicy, treated: number, control: number): boolean {
  const { toleranceShare = 0, tolerance = 0 } = metric;
  const margin = Math.abs(control) * toleranceShare + tolerance;
  return metric.worse === "higher" ? treated > control + margin : treated < control - margin;
}

/** Takes what was drawn into the evidence; a pair that another worker has taken counts once. */
export async function countPairs(
  tx: Tx,
  rollout: RolloutRow,
  drawn: readonly DrawnPairs[],
  nowMs: number,
): Promise<void> {
  const deltas: EvidenceDelta[] = [];
  for (const { metric, pairs } of drawn) {
    if (pairs.length === 0) continue;
    const key = keyOf(metric);
    const taken = await takePairs(tx, rollout.tenant_id, rollout.id, key, pairs, nowMs);
    const bad = taken.filter((pair) => pair.isWorse).length;
    for (const [arm, events] of [
      ["treated", bad],
      ["control", taken.length - bad],
    ] as const) {
      deltas.push({ rolloutId: rollout.id, metric, arm, cohort: 0, events, rawEvents: events });
    }
  }
  await addEvidence(tx, rollout.tenant_id, deltas);
}

/** All metrics of a policy; those that cannot be read are named. */
export async function drawAll(
  deps: RolloutsDeps,
  rollout: RolloutRow,
): Promise<{ drawn: DrawnPairs[]; unread: string[] }> {
  const drawn: DrawnPairs[] = [];
  const unread: string[] = [];
  for (const metric of (rollout.policy as RolloutPolicy).metrics ?? []) {
    try {
      drawn.push(await drawPairs(deps, rollout, metric));
    } catch (error) {
      const { tenant_id: tenantId, id: rolloutId } = rollout;
      const context = { tenantId, rolloutId, metric: metric.metric, err: error };
      deps.logger.warn(context, "a metric of the gate could not be read");
      unread.push(metric.metric);
    }
  }
  return { drawn, unread };
}

function keyOf(metric: string): string {
  return `pair:${metric}`;
}

function lot(seed: string, device: Candidate): string {
  return createHash("sha256").update(`${seed}/${device.device_id}`).digest("hex");
}
