import type { Tx } from "../db/index.ts";
import type { BytesBySource } from "../protocol/index.ts";
import { graceful } from "./assignments.ts";
import { moveCounters, type Step, stepOf } from "./counter-store.ts";
import {
  type DeviceChange,
  type TrackedDevice,
  writeDevices,
  writeSources,
} from "./progress-store.ts";
import { type DeviceProgress, ENDED_STATES, type Move, UNDERWAY_STATES } from "./states.ts";

/** A device, where it is to go, and what else a report said. */
export interface TrackedMove {
  device: TrackedDevice;
  move: Move;
  progress?: number | null;
  format?: string | null;
  bytesDownloaded?: number | null;
  bytesBySource?: BytesBySource | null;
  deadlineAt?: Date | null;
}

export function progressOf(device: TrackedDevice): DeviceProgress {
  return {
    state: device.state,
    targetSha256: device.target_sha256,
    cancelled: device.cancelled_at !== null,
    bootId: device.boot_id,
  };
}

/**
 * Moves devices and their counters in one transaction, in a few statements however many they are.
 * Each device comes at most once; the caller holds the locks on their rows.
 */
export async function applyMoves(
  tx: Tx,
  tenantId: string,
  moves: readonly TrackedMove[],
  nowMs: number,
): Promise<void> {
  const changes: DeviceChange[] = [];
  const steps: Step[] = [];
  const starting: { rolloutId: string; deviceId: string }[] = [];
  for (const { device, move, ...told } of moves) {
    // Another update may have come between the offer and its beginning.
    if (device.state === "offered") {
      starting.push({ rolloutId: device.rollout_id, deviceId: device.device_id });
    }
    const to = move.state;
    const bytesDownloaded = Math.max(device.bytes_downloaded, told.bytesDownloaded ?? 0);
    const bytesBySource = sourcesOf(device, told.bytesBySource, bytesDownloaded);
    changes.push({
      rolloutId: device.rollout_id,
      deviceId: device.device_id,
      state: to,
      deadlineAt: told.deadlineAt ?? deadlineOf(device, to, nowMs),
      progress: told.progress ?? null,
      failure: move.failure,
      finishedAt: ENDED_STATES.includes(to) ? new Date(nowMs) : null,
      bootId: move.bootId === undefined ? device.boot_id : move.bootId,
      format: told.format ?? null,
      bytesDownloaded,
      bytesBySource,
    });
    const bytesFull = to === "succeeded" && device.state !== "succeeded" ? device.bytes_full : 0;
    const news = {
      bytesDownloaded: bytesDownloaded - device.bytes_downloaded,
      bytesFull,
      bytesBySource: {
        platform: (bytesBySource?.platform ?? 0) - (device.bytes_platform ?? 0),
        store: (bytesBySource?.store ?? 0) - (device.bytes_store ?? 0),
        cache: (bytesBySource?.cache ?? 0) - (device.bytes_cache ?? 0),
      },
    };
    steps.push(stepOf(device.rollout_id, device, to, news));
  }
  await writeSources(tx, tenantId, starting);
  await writeDevices(tx, tenantId, changes, new Date(nowMs));
  await moveCounters(tx, tenantId, steps);
}

/** What a device has said last; not what contradicts the bytes that it says it has downloaded. */
function sourcesOf(
  device: TrackedDevice,
  told: BytesBySource | null | undefined,
  bytesDownloaded: number,
): BytesBySource | null {
  if (told && told.platform + told.store + told.cache <= bytesDownloaded) return told;
  if (device.bytes_platform === null) return null;
  return {
    platform: device.bytes_platform,
    store: device.bytes_store ?? 0,
    cache: device.bytes_cache ?? 0,
  };
}

/** By when a connected device has to begin that is told now. */
export function offerDeadline(device: TrackedDevice, nowMs: number): Date {
  return new Date(nowMs + graceful(device.deadlines.offered as number));
}

function deadlineOf(device: TrackedDevice, to: Step["to"], nowMs: number): Date | null {
  if (!UNDERWAY_STATES.includes(to)) return null;
  return new Date(nowMs + graceful(device.deadlines[to] as number));
}
