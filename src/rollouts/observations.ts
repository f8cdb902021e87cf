import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { Observed } from "./facts.ts";
import type { Observation } from "./gate/index.ts";
import type { RolloutPolicy, ThresholdPolicy } from "./policy.ts";
import { figureOf } from "./policy-checks.ts";
import { SETTLED_MS } from "./polled-events.ts";
import type { RolloutRow } from "./rollout-store.ts";
import { taken } from "./taken-together.ts";
import type { RolloutsDeps } from "./types.ts";

/** Devices that a figure is taken over at most; the latest to be updated come first. */
const MAX_SAMPLE = 2_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

interface Sample {
  deviceIds: string[];
  offline: number;
  deviceHours: number;
  /** When the oldest update was within the last day, or a day ago. */
  since: number;
  /** The same of each device. */
  sinceEach: number[];
}

/**
 * The figures that the policy's thresholds ask for, of the devices that run the new image. A store
 * that does not answer is reported as such: the gate then neither widens nor takes it for calm.
 */
export async function observe(deps: RolloutsDeps, rollout: RolloutRow): Promise<Observed> {
  const policy = rollout.policy as RolloutPolicy;
  if (policy.thresholds.length === 0) return { observations: [], unobserved: [] };
  const { tenant_id: tenantId } = rollout;
  const now = deps.clock.now();
  const sample = await deps.db.tenant(tenantId, (tx) => readSample(tx, rollout, now));
  const observed: Observed = { observations: [], unobserved: [] };
  if (sample.deviceIds.length === 0) return observed;
  for (const threshold of policy.thresholds) {
    const metric = figureOf(threshold);
    try {
      const value = await read(deps, rollout, threshold, sample, now);
      if (value) observed.observations.push(value);
    } catch (error) {
      deps.logger.warn(
        { tenantId, rolloutId: rollout.id, metric, err: error },
        "a metric of the gate could not be read",
      );
      observed.unobserved.push(metric);
    }
  }
  return observed;
}

async function read(
  deps: RolloutsDeps,
  rollout: RolloutRow,
  threshold: ThresholdPolicy,
  sample: Sample,
  now: number,
): Promise<Observation | undefined> {
  const { tenant_id: tenantId } = rollout;
  const { deviceIds, deviceHours } = sample;
  const base = { metric: figureOf(threshold), devices: deviceIds.length, deviceHours };
  const window = { deviceIds, from: sample.since, to: now };
  switch (threshold.metric) {
    case "offline-share":
      return { ...base, value: sample.offline / deviceIds.length };
    case "crash-rate": {
      const crashes = await deps.db.tenant(tenantId, (tx) => countCrashes(tx, rollout, sample));
      return deviceHours > 0 ? { ...base, value: (crashes * 24) / deviceHours } : undefined;
    }
    case "error-log-rate": {
      // Of each device what it wrote with the new image, once the noise of the update is over: before
      // it nothing, or a stage that has just begun would have all its earlier lines in no time.
      const fromEach = sample.sinceEach.map((since) => since + SETTLED_MS);
      const settledMs = fromEach.reduce((sum, from) => sum + Math.max(0, now - from), 0);
      if (settledMs === 0) return undefined;
      const query = { ...window, fromEach };
      const { steadyLinesPerDevice } = await deps.logs.errorRate(tenantId, query);
      const lines = steadyLinesPerDevice * deviceIds.length;
      const settledHours = settledMs / HOUR_MS;
      return { ...base, deviceHours: settledHours, value: lines / settledHours };
    }
    default: {
      const updated = await readTogether(deps, tenantId, threshold, window);
      if (!updated) return undefined;
      const { devices, value } = updated;
      if (threshold.growsBy === undefined) return { ...base, devices, value };
      const waiting = await deps.db.tenant(tenantId, (tx) => readWaiting(tx, rollout));
      const theirs = await readTogether(deps, tenantId, threshold, {
        ...window,
        deviceIds: waiting,
      });
      // A share of nothing is no figure, and the figure of a few is none to be held against.
      const fewest = threshold.minimumDevices ?? 1;
      if (!theirs || theirs.devices < fewest || theirs.value === 0) return undefined;
      const growth = (value - theirs.value) / Math.abs(theirs.value);
      const baseline = { updated: value, waiting: theirs.value, devices: theirs.devices };
      return { ...base, devices, value: growth, baseline };
    }
  }
}

/** One figure of telemetry over devices, each of which has one say; undefined where none spoke. */
async function readTogether(
  deps: RolloutsDeps,
  tenantId: string,
  { metric, aggregate = "mean" }: ThresholdPolicy,
  window: { deviceIds: readonly string[]; from: number; to: number },
): Promise<{ devices: number; value: number } | undefined> {
  const name = metric.slice("telemetry.".length);
  if (window.deviceIds.length === 0) return undefined;
  if (aggregate === "mean") {
    const { devices, mean } = await deps.telemetry.metricByArm(tenantId, {
      metric: name,
      ...window,
    });
    return mean === null ? undefined : { devices, value: mean };
  }
  const query = { metric: name, ...window, aggregate: "mean" as const };
  const figures = [...(await deps.telemetry.figuresByDevice(tenantId, query)).values()];
  const value = taken(figures, aggregate);
  return value === undefined ? undefined : { devices: figures.length, value };
}

/** Devices that have not begun and are there, the next in the order. */
async function readWaiting(tx: Tx, rollout: RolloutRow): Promise<string[]> {
  const { rows } = await sql<{ device_id: string }>`
    select device_id from rollout_devices
    where tenant_id = ${rollout.tenant_id} and rollout_id = ${rollout.id} and state = 'pending'
      and stage_index >= ${rollout.stage_index} and excluded_reason is null and not is_absent
    order by stage_index desc, ordinal desc limit ${MAX_SAMPLE}`.execute(tx);
  return rows.map((row) => row.device_id);
}

async function readSample(tx: Tx, rollout: RolloutRow, now: number): Promise<Sample> {
  const { rows } = await sql<{ device_id: string; finished_at: Date | null; offline: boolean }>`
    select d.device_id, d.finished_at, s.presence = 'offline' as offline
    from rollout_devices d
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.device_id
    where d.tenant_id = ${rollout.tenant_id} and d.rollout_id = ${rollout.id}
      and d.state = 'succeeded' and d.excluded_reason is null
    order by d.stage_index desc, d.ordinal desc limit ${MAX_SAMPLE}`.execute(tx);
  const ages = rows.map((row) => Math.min(DAY_MS, now - (row.finished_at?.getTime() ?? now)));
  const oldest = Math.max(0, ...ages);
  return {
    deviceIds: rows.map((row) => row.device_id),
    offline: rows.filter((row) => row.offline).length,
    deviceHours: ages.reduce((sum, age) => sum + age, 0) / HOUR_MS,
    since: now - oldest,
    sinceEach: ages.map((age) => now - age),
  };
}

/** Of one device one crash counts: the sample reaches back a day, and no device speaks for others. */
async function countCrashes(tx: Tx, rollout: RolloutRow, sample: Sample): Promise<number> {
  const { rows } = await sql<{ crashes: number }>`
    select count(distinct i.device_id) as crashes
    from device_incidents i
    join rollout_devices d on d.tenant_id = i.tenant_id and d.device_id = i.device_id
    where i.tenant_id = ${rollout.tenant_id} and d.rollout_id = ${rollout.id}
      and i.device_id = any(${sample.deviceIds}::text[]) and i.kind in ('crash', 'restart')
      and i.occurred_at >= ${new Date(sample.since)} and i.occurred_at >= d.finished_at`.execute(
    tx,
  );
  return rows[0]?.crashes ?? 0;
}
