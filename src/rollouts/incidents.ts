import { subjects } from "../bus/index.ts";
import type { Tx } from "../db/index.ts";
import type { IncidentKind, UncountedIncident } from "../devices/index.ts";
import { addEvidence, type EvidenceDelta, type EvidenceMetric } from "./counter-store.ts";
import { lockByDevices, type TrackedDevice, writeCounted } from "./progress-store.ts";
import { retryDeadlocks } from "./retry-deadlocks.ts";
import { activeRollouts, wakeRollouts } from "./rollout-store.ts";
import type { RolloutsDeps } from "./types.ts";

/** A restart that nobody asked for is a crash to the gate. */
const METRIC_OF: Readonly<Record<IncidentKind, EvidenceMetric>> = {
  crash: "crash",
  restart: "crash",
  silence: "silence",
  "self-test-failed": "self-test",
  fallback: "fallback",
};

const REFRACTORY_MS = 24 * 3_600_000;
const BATCH = 500;
/** Batches of one tick: a tenant with more of them goes on at the next. */
const MAX_BATCHES = 20;

/**
 * Adds the incidents that have become durable since the last time to the evidence of the tenant's
 * rollouts. What marks an incident as counted is the transaction that counts it, so that neither a
 * crash nor a second worker loses one or counts it twice. False when there are more than it took.
 */
export async function countIncidents(deps: RolloutsDeps, tenantId: string): Promise<boolean> {
  for (let batch = 0; batch < MAX_BATCHES; batch += 1) {
    const { taken, touched } = await retryDeadlocks(() =>
      deps.db.tenant(tenantId, (tx) => countBatch(deps, tx, tenantId)),
    );
    if (touched.size > 0) {
      const now = new Date(deps.clock.now());
      await deps.db.tenant(tenantId, (tx) => wakeRollouts(tx, tenantId, [...touched], now));
    }
    for (const id of touched) {
      deps.bus.publish(subjects.rollout(tenantId, id), { rolloutId: id });
    }
    if (taken < BATCH) return true;
  }
  return false;
}

async function countBatch(
  deps: RolloutsDeps,
  tx: Tx,
  tenantId: string,
): Promise<{ taken: number; touched: Set<string> }> {
  const incidents = await deps.devices.takeIncidents(tx, tenantId, BATCH);
  const ids = incidents.length > 0 ? await activeRollouts(tx, tenantId) : [];
  if (ids.length === 0) return { taken: incidents.length, touched: new Set() };
  const deviceIds = [...new Set(incidents.map((incident) => incident.deviceId))];
  const devices = await lockByDevices(tx, tenantId, ids, deviceIds);
  const touched = await recordIncidentEvidence(tx, tenantId, devices, incidents);
  return { taken: incidents.length, touched };
}

/** To which arm an incident speaks, if to any. Pure. */
export function armOf(
  device: Pick<TrackedDevice, "state" | "target_sha256" | "excluded_reason">,
  incident: Pick<UncountedIncident, "kind" | "firmwareSha256">,
): "treated" | "control" | undefined {
  if (device.excluded_reason !== null) return undefined;
  if (device.state === "withdrawn") return undefined;
  const onTarget = incident.firmwareSha256 === device.target_sha256;
  if (device.state === "pending") return onTarget ? undefined : "control";
  // These come from an update only: by then the device may be back on its old image.
  if (incident.kind === "self-test-failed" || incident.kind === "fallback") return "treated";
  if (onTarget) return "treated";
  // Without a word about the image, a device that has updated runs the new one.
  const updated = device.state === "succeeded" || device.state === "confirming";
  return incident.firmwareSha256 === null && updated ? "treated" : undefined;
}

/** Something that a device did and that is looked for, and not reported. */
export interface Occurrence {
  deviceId: string;
  ts: number;
  metric: "error-log" | "disconnect";
}

/**
 * Adds occurrences to the evidence of one running rollout, at most one a device, metric and day, so
 * that looks may overlap. Devices count that wait, and those that have settled after their update.
 */
export async function countOncePerDay(
  tx: Tx,
  tenantId: string,
  devices: readonly TrackedDevice[],
  occurrences: readonly Occurrence[],
  settledMs: number,
): Promise<void> {
  const byDevice = Map.groupBy(occurrences, ({ deviceId }) => deviceId);
  const deltas = new Map<string, EvidenceDelta>();
  const counted: Parameters<typeof writeCounted>[2][number][] = [];
  for (const device of devices) {
    const arm = device.state === "pending" ? "control" : "treated";
    const settledFrom = (device.finished_at?.getTime() ?? 0) + settledMs;
    if (device.excluded_reason !== null) continue;
    if (arm === "treated" && device.state !== "succeeded") continue;
    const last = { ...device.counted };
    for (const { metric, ts } of byDevice.get(device.device_id) ?? []) {
      if (ts < (device.rollout_started_at?.getTime() ?? 0)) continue;
      if (arm === "treated" && ts < settledFrom) continue;
      if (Math.abs(ts - (last[metric] ?? Number.NEGATIVE_INFINITY)) < REFRACTORY_MS) continue;
      last[metric] = ts;
      const { rollout_id: rolloutId, cohort } = device;
      const key = `${metric}/${arm}/${cohort}`;
      const delta = deltas.get(key) ?? nothingOf({ rolloutId, metric, arm, cohort });
      deltas.set(key, { ...delta, events: delta.events + 1, rawEvents: delta.rawEvents + 1 });
    }
    if (Object.keys(last).some((metric) => last[metric] !== device.counted[metric])) {
      counted.push({ rolloutId: device.rollout_id, deviceId: device.device_id, counted: last });
    }
  }
  await writeCounted(tx, tenantId, counted);
  await addEvidence(tx, tenantId, [...deltas.values()]);
}

/**
 * Adds incidents to the evidence of the rollouts whose devices they happened on. Of one device and
 * metric one event counts in 24 hours, whichever arm it is in, so that the arms stay alike and no
 * single device speaks for the fleet; the raw number is kept beside it. Returns the rollouts touched.
 */
export async function recordIncidentEvidence(
  tx: Tx,
  tenantId: string,
  devices: readonly TrackedDevice[],
  incidents: readonly UncountedIncident[],
): Promise<Set<string>> {
  const byDevice = Map.groupBy(incidents, (incident) => incident.deviceId);
  const deltas = new Map<string, EvidenceDelta>();
  const counted: { rolloutId: string; deviceId: string; counted: Record<string, number> }[] = [];
  for (const device of devices) {
    // A paused rollout accrues no exposure, so events of that time would weigh too much.
    if (device.rollout_state !== "running" || device.rollout_kind !== "update") continue;
    const last = { ...device.counted };
    for (const incident of byDevice.get(device.device_id) ?? []) {
      // What was heard before the rollout began is none of its making.
      if (incident.receivedAt < (device.rollout_started_at?.getTime() ?? 0)) continue;
      const arm = armOf(device, incident);
      if (!arm) continue;
      const metric = METRIC_OF[incident.kind];
      const { rollout_id: rolloutId, cohort } = device;
      const key = `${rolloutId}/${metric}/${arm}/${cohort}`;
      const delta = deltas.get(key) ?? nothingOf({ rolloutId, metric, arm, cohort });
      delta.rawEvents += 1;
      const before = last[metric] ?? Number.NEGATIVE_INFINITY;
      if (Math.abs(incident.receivedAt - before) >= REFRACTORY_MS) {
        delta.events += 1;
        last[metric] = incident.receivedAt;
      }
      deltas.set(key, delta);
    }
    if (Object.keys(last).some((metric) => last[metric] !== device.counted[metric])) {
      counted.push({ rolloutId: device.rollout_id, deviceId: device.device_id, counted: last });
    }
  }
  await writeCounted(tx, tenantId, counted);
  await addEvidence(tx, tenantId, [...deltas.values()]);
  return new Set([...deltas.values()].map((delta) => delta.rolloutId));
}

function nothingOf(of: Omit<EvidenceDelta, "events" | "rawEvents">): EvidenceDelta {
  return { ...of, events: 0, rawEvents: 0 };
}
