import type { Database } from "../db/index.ts";
import type { DeviceState } from "./states.ts";

/** One update of a device, as its history shows it. */
export interface DeviceUpdate {
  updateId: string;
  rolloutId: string;
  rolloutName: string;
  state: DeviceState;
  sourceVersion: string | null;
  targetVersion: string;
  format: string | null;
  bytesDownloaded: number;
  bytesFull: number;
  progress: number | null;
  /** What the device waits for before it goes on, in its own words. */
  waitingFor: { element: string; message: string } | null;
  offeredAt: Date | null;
  finishedAt: Date | null;
  failure: unknown;
}

/** A device's updates, those of the newest rollouts first. */
export async function deviceUpdates(
  db: Database,
  tenantId: string,
  deviceId: string,
  limit: number,
): Promise<DeviceUpdate[]> {
  const rows = await db.tenant(tenantId, (tx) =>
    tx
      .selectFrom("rollout_devices as device")
      .innerJoin("rollouts", (join) =>
        join
          .onRef("rollouts.tenant_id", "=", "device.tenant_id")
          .onRef("rollouts.id", "=", "device.rollout_id"),
      )
      // Its own: a rollback leads each device to another release than the one it takes back.
      .innerJoin("releases", (join) =>
        join
          .onRef("releases.tenant_id", "=", "device.tenant_id")
          .onRef("releases.id", "=", "device.target_release_id"),
      )
      .selectAll("device")
      .select(["rollouts.name as rollout_name", "releases.version as target_version"])
      .where("device.tenant_id", "=", tenantId)
      .where("device.device_id", "=", deviceId)
      .orderBy("rollouts.created_at", "desc")
      .limit(limit)
      .execute(),
  );
  return rows.map((row) => ({
    updateId: row.update_id,
    rolloutId: row.rollout_id,
    rolloutName: row.rollout_name,
    state: row.state,
    sourceVersion: row.source_version,
    targetVersion: row.target_version,
    format: row.format,
    bytesDownloaded: row.bytes_downloaded,
    bytesFull: row.bytes_full,
    progress: row.progress,
    waitingFor: row.waiting_for as DeviceUpdate["waitingFor"],
    offeredAt: row.offered_at,
    finishedAt: row.finished_at,
    failure: row.failure,
  }));
}

/** Rollouts of a tenant that are under way. */
export async function countRunning(db: Database, tenantId: string): Promise<number> {
  const row = await db.tenant(tenantId, (tx) =>
    tx
      .selectFrom("rollouts")
      .select((eb) => eb.fn.countAll<number>().as("rollouts"))
      .where("tenant_id", "=", tenantId)
      .where("state", "in", ["preparing", "running", "rolling-back"])
      .executeTakeFirstOrThrow(),
  );
  return Number(row.rollouts);
}
