import { subjects } from "../bus/index.ts";
import type { Tx } from "../db/index.ts";
import { AppError, isUuid } from "../kernel/index.ts";
import { KeyedBatcher } from "../kernel/keyed-batcher.ts";
import { counter } from "../kernel/metrics.ts";
import { storableText } from "../kernel/storable.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import type { DeviceIdentity, Heartbeat, UpdateState } from "../protocol/index.ts";
import { graceful } from "./assignments.ts";
import { applyMoves, progressOf, type TrackedMove } from "./moves.ts";
import {
  lockByDevices,
  lockByUpdateIds,
  type TrackedDevice,
  type WaitingDevice,
  writeProgress,
  writeWaiting,
} from "./progress-store.ts";
import { activeRollouts, reopenRollbacks, wakeRollouts } from "./rollout-store.ts";
import { FAILED_STATES, moveByReport, moveBySighting } from "./states.ts";
import type { RolloutsDeps } from "./types.ts";

const reportsTaken = counter("vautn_update_reports_total", "Update reports by what they did", [
  "effect",
]);

const BATCH = { maxBatchSize: 500, maxDelayMs: 5, maxQueuedSize: 50_000 };
/** How long a process may not know that a tenant has begun a rollout. */
const ACTIVE_TTL_MS = 1_000;
const MAX_TENANTS = 10_000;
/** Devices whose last heartbeat is remembered, so that only a change costs a query. */
const MAX_REMEMBERED = 200_000;
const SIGHTING_TTL_MS = 3_600_000;
const TEXT_LENGTH = 4_096;

export interface Reports {
  /**
   * What a device says of its update; resolves when durable. Safe to repeat and in any order;
   * `not-found` for an update that is not this device's.
   */
  recordUpdateState(peer: DeviceIdentity, state: UpdateState, receivedAt: number): Promise<void>;
  /** Confirms devices that report no phases, and notices those that run something else. */
  recordHeartbeat(peer: DeviceIdentity, heartbeat: Heartbeat, receivedAt: number): Promise<void>;
  /** Writes what is queued. */
  flush(): Promise<void>;
}

interface StateItem {
  deviceId: string;
  state: UpdateState;
}
interface SightingItem {
  deviceId: string;
  hash: string;
  bootId: string;
}

export function createReports(deps: RolloutsDeps): Reports {
  const { db, clock } = deps;
  const active = new TtlCache<string[]>({ clock, ttlMs: ACTIVE_TTL_MS, maxEntries: MAX_TENANTS });
  const remembered = new TtlCache<string>({
    clock,
    ttlMs: SIGHTING_TTL_MS,
    maxEntries: MAX_REMEMBERED,
  });

  async function activeIds(tenantId: string): Promise<string[]> {
    const cached = active.get(tenantId);
    if (cached) return cached;
    const ids = await db.tenant(tenantId, (tx) => activeRollouts(tx, tenantId));
    active.set(tenantId, ids);
    return ids;
  }

  /** Tells who looks on, and has the gate look now where something went wrong. */
  async function after(tenantId: string, { changed, adverse, undone }: Taken): Promise<void> {
    const now = new Date(clock.now());
    if (undone.size > 0) {
      await db.tenant(tenantId, (tx) => reopenRollbacks(tx, tenantId, [...undone], now));
    }
    if (adverse.size > 0) {
      // Not in the transaction of the report: that would wait for a reconciler which waits for it.
      await db.tenant(tenantId, (tx) => wakeRollouts(tx, tenantId, [...adverse], now));
    }
    for (const id of changed) deps.bus.publish(subjects.rollout(tenantId, id), { rolloutId: id });
  }

  const states = new KeyedBatcher<StateItem, "taken" | "unknown">({
    ...BATCH,
    async write(tenantId, items) {
      const taken = await db.tenant(tenantId, (tx) => takeStates(tx, tenantId, items, clock.now()));
      await after(tenantId, taken);
      return taken.results;
    },
  });

  const sightings = new KeyedBatcher<SightingItem>({
    ...BATCH,
    async write(tenantId, items) {
      const ids = await activeIds(tenantId);
      if (ids.length === 0) return;
      const taken = await db.tenant(tenantId, (tx) =>
        takeSightings(tx, tenantId, ids, items, clock.now()),
      );
      await after(tenantId, taken);
    },
  });

  return {
    async recordUpdateState(peer, state, _receivedAt) {
      const known =
        isUuid(state.updateId) &&
        (await states.add(peer.tenantId, { deviceId: peer.deviceId, state })) === "taken";
      if (known) return;
      reportsTaken.inc({ effect: "unknown" });
      throw new AppError("not-found", "there is no such update for this device");
    },

    async recordHeartbeat(peer, heartbeat, _receivedAt) {
      const { tenantId, deviceId } = peer;
      const ids = await activeIds(tenantId);
      if (ids.length === 0) return;
      const { hash } = heartbeat.firmware;
      const key = `${tenantId}/${deviceId}`;
      const seen = `${hash}/${heartbeat.bootId}/${ids.join()}`;
      if (remembered.get(key) === seen) return;
      await sightings.add(tenantId, { deviceId, hash, bootId: heartbeat.bootId });
      remembered.set(key, seen);
    },

    async flush() {
      await Promise.all([states.flush(), sightings.flush()]);
    },
  };
}

interface Taken {
  changed: Set<string>;
  /** Rollouts that have something to see to: something went wrong, or a device goes on. */
  adverse: Set<string>;
  /** Rollouts that were undone, and of which a device turned out to have the image. */
  undone: Set<string>;
}

async function takeStates(
  tx: Tx,
  tenantId: string,
  items: readonly StateItem[],
  nowMs: number,
): Promise<Taken & { results: ("taken" | "unknown")[] }> {
  const ids = [...new Set(items.map((item) => item.state.updateId.toLowerCase()))];
  const rows = await lockByUpdateIds(tx, tenantId, ids);
  const byUpdate = new Map(rows.map((row) => [row.update_id, row]));
  const pending = new Map<string, TrackedMove & { origin: TrackedDevice }>();
  const figures = new Map<string, { rolloutId: string; deviceId: string; progress: number }>();
  const waiting = new Map<string, WaitingDevice>();
  const results = items.map(({ deviceId, state }) => {
    const origin = byUpdate.get(state.updateId.toLowerCase());
    // The certificate says who speaks: another device's update is none of its business.
    if (!origin || origin.device_id !== deviceId) return "unknown" as const;
    const earlier = pending.get(origin.update_id);
    const device = earlier ? moved(earlier) : origin;
    const found = moveByReport(progressOf(device), bounded(state));
    if (found) {
      const move = { ...found, bootId: found.bootId === undefined ? device.boot_id : found.bootId };
      reportsTaken.inc({ effect: "moved" });
      const { progress, format, bytesDownloaded } = state;
      const bytesBySource = state.bytesBySource ?? earlier?.bytesBySource ?? null;
      const told = { progress: progress ?? null, format: format ?? null };
      const bytes = Math.max(earlier?.bytesDownloaded ?? 0, bytesDownloaded ?? 0);
      pending.set(origin.update_id, {
        device: origin,
        origin,
        move,
        ...told,
        bytesDownloaded: bytes,
        bytesBySource,
      });
    } else if (state.waitingFor && state.phase === device.state) {
      reportsTaken.inc({ effect: "waiting" });
      const deadlineAt = new Date(nowMs + patienceWith(device));
      const told = { rolloutId: origin.rollout_id, deviceId, deadlineAt };
      const { element, message } = state.waitingFor;
      waiting.set(origin.update_id, {
        ...told,
        waitingFor: {
          element: storableText(element, TEXT_LENGTH),
          message: storableText(message, TEXT_LENGTH),
        },
      });
    } else if (state.progress !== undefined && state.phase === device.state) {
      reportsTaken.inc({ effect: "progress" });
      const row = { rolloutId: origin.rollout_id, deviceId, progress: state.progress };
      figures.set(origin.update_id, row);
    } else {
      reportsTaken.inc({ effect: "none" });
    }
    return "taken" as const;
  });
  const moves = [...pending.values()];
  await applyMoves(tx, tenantId, moves, nowMs);
  const still = [...figures].filter(([updateId]) => !pending.has(updateId));
  await writeProgress(
    tx,
    tenantId,
    still.map(([, row]) => row),
    new Date(nowMs),
  );
  // Where a move of the same batch came first, the phase that it led to is the one that waits.
  await writeWaiting(tx, tenantId, [...waiting.values()], new Date(nowMs));
  return {
    results,
    ...effects(
      moves,
      still.map(([, row]) => row.rolloutId),
    ),
  };
}

/** Twice as long as a waiting device is silent by rights, and never less than its phase has. */
const WAITING_PATIENCE_MS = 20 * 60_000;

function patienceWith(device: TrackedDevice): number {
  return Math.max(WAITING_PATIENCE_MS, graceful(device.deadlines[device.state] ?? 0));
}

/** A device as it will be once an earlier report of the same batch has been carried out. */
function moved({ device, move }: TrackedMove): TrackedDevice {
  return {
    ...device,
    state: move.state,
    boot_id: move.bootId === undefined ? device.boot_id : move.bootId,
  };
}

function bounded(state: UpdateState): UpdateState {
  if (!state.error) return state;
  const { phase, element, message } = state.error;
  return {
    ...state,
    error: {
      phase: storableText(phase, TEXT_LENGTH),
      element: storableText(element, TEXT_LENGTH),
      message: storableText(message, TEXT_LENGTH),
    },
  };
}

async function takeSightings(
  tx: Tx,
  tenantId: string,
  rolloutIds: readonly string[],
  items: readonly SightingItem[],
  nowMs: number,
): Promise<Taken> {
  const latest = new Map(items.map((item) => [item.deviceId, item]));
  const rows = await lockByDevices(tx, tenantId, rolloutIds, [...latest.keys()]);
  const moves: TrackedMove[] = [];
  for (const device of rows) {
    const seen = latest.get(device.device_id) as SightingItem;
    // Once a rollout is being undone its devices run another image, and rightly so.
    const isUndone = ["rolling-back", "rolled-back"].includes(device.rollout_state);
    if (device.state === "succeeded" && isUndone) continue;
    const move = moveBySighting(progressOf(device), seen);
    if (move) moves.push({ device, move });
  }
  await applyMoves(tx, tenantId, moves, nowMs);
  return effects(moves, []);
}

function effects(moves: readonly TrackedMove[], touched: readonly string[]): Taken {
  const failed = moves.filter(({ device, move }) => {
    // From a stepping stone it goes on at once.
    const hasWay = move.state === "succeeded" && device.hops_left > 0;
    return hasWay || FAILED_STATES.includes(move.state);
  });
  const late = moves.filter(
    ({ device, move }) => move.state === "succeeded" && device.rollout_state === "rolled-back",
  );
  return {
    undone: new Set(late.map(({ device }) => device.rollout_id)),
    changed: new Set([...moves.map(({ device }) => device.rollout_id), ...touched]),
    adverse: new Set(failed.map(({ device }) => device.rollout_id)),
  };
}
