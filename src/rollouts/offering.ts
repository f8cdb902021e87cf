import { subjects } from "../bus/index.ts";
import type { Tx } from "../db/index.ts";
import { compileFleetQuery } from "../devices/index.ts";
import {
  type AddressedDevice,
  type Offered,
  takePending,
  takeToCancel,
  writeCancellations,
  writeOffers,
} from "./assignment-store.ts";
import { createAssignmentWriter, graceful, type Order } from "./assignments.ts";
import { moveCounters, stepOf } from "./counter-store.ts";
import { askForDevices } from "./delta-demand.ts";
import {
  hasUntold,
  isPaced,
  readBusy,
  readPace,
  stillMatching,
  untoldDevices,
} from "./pacing-store.ts";
import type { RolloutPolicy } from "./policy.ts";
import { writeDevices, writeSources } from "./progress-store.ts";
import { type RolloutRow, readStages, updateRollout } from "./rollout-store.ts";
import type { Failure } from "./states.ts";
import { readStop } from "./stop-store.ts";
import { turnOf } from "./turns.ts";
import type { RolloutsDeps } from "./types.ts";
import { isOpen } from "./windows.ts";

/** Devices that one step offers at most: the lock on the rollout is not held for long. */
export const OFFER_BATCH = 500;

/** Ordinals that one reminding goes through, and how long until it is the turn of the next ones. */
const REMIND_SPAN = 5_000;
const REMIND_EVERY_MS = 5_000;
/** Of a rollout that is over and has devices left that wait for their place. */
const REMIND_LATE_MS = 60_000;

/** What has to be said on the bus once the transaction is durable. */
export type Announcements = { subject: string; message: Record<string, unknown> }[];

/**
 * Offers the next devices of the stages up to `stageIndex`. A device that runs the target already
 * has nothing to do. Returns how many were taken.
 */
export async function offerNext(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  stageIndex: number,
  limit: number,
  said: Announcements,
): Promise<number> {
  const { tenant_id: tenantId, id } = rollout;
  const now = deps.clock.now();
  const policy = rollout.policy as RolloutPolicy;
  // The way back waits for no window.
  const pace =
    rollout.kind === "update" ? await readPace(tx, tenantId, id, policy, now) : undefined;
  const wanted = Math.min(limit, OFFER_BATCH);
  const taken = await takePending(tx, tenantId, id, stageIndex, wanted, pace);
  if (taken.length === 0) return 0;
  const left = rollout.is_dynamic ? await thoseWhoLeft(tx, rollout, taken, now) : [];
  await writeEnds(tx, rollout, left, { state: "withdrawn", failure: LEFT }, new Date(now));
  const devices = taken.filter((device) => !left.includes(device));
  const done = devices.filter((device) => device.firmware_sha256 === device.target_sha256);
  const differing = devices.filter((device) => device.firmware_sha256 !== device.target_sha256);
  // It may have been started without Secure Boot since the plan was made.
  const unfit = differing.filter((device) => policy.requireSecureBoot && !device.secure_boot);
  const open = differing.filter((device) => !unfit.includes(device));
  const writer = createAssignmentWriter(deps);
  const offers: Offered[] = [];
  for (const device of open) {
    const envelope = await writer.write(orderOf(rollout, device), device);
    // The clock of an offer starts when the device can have it.
    const deadlineMs = device.connected ? now + graceful(policy.deadlines.offered) : null;
    const deadlineAt = deadlineMs === null ? null : new Date(deadlineMs);
    offers.push({ deviceId: device.device_id, envelope, deadlineAt });
  }
  // Who joined after the planning came from another version: those that follow from it get a patch.
  await askForDevices(deps, tenantId, writer.lacking);
  const offered = offers.map(({ deviceId }) => ({ rolloutId: id, deviceId }));
  await writeSources(tx, tenantId, offered);
  await writeOffers(tx, tenantId, id, offers, new Date(now));
  await writeEnds(tx, rollout, done, { state: "succeeded", failure: null }, new Date(now));
  await writeEnds(tx, rollout, unfit, { state: "withdrawn", failure: UNVERIFIED }, new Date(now));
  await moveCounters(tx, tenantId, [
    ...open.map((device) => stepOf(id, device, "offered")),
    ...done.map((device) => stepOf(id, device, "succeeded")),
    ...[...unfit, ...left].map((device) => stepOf(id, device, "withdrawn")),
  ]);
  for (const { deviceId } of offers) said.push(word(tenantId, deviceId));
  return taken.length;
}

/** Reminds devices whose offer found no place when they were there: now there may be one. */
export async function remindUntold(
  tx: Tx,
  rollout: RolloutRow,
  said: Announcements,
  nowMs: number,
): Promise<void> {
  const { tenant_id: tenantId, id } = rollout;
  const policy = rollout.policy as RolloutPolicy;
  const { window, disruption } = policy;
  if (!isPaced(policy) || !(await hasUntold(tx, tenantId, id))) return;
  const stages = await readStages(tx, tenantId, [id]);
  const past = stages.at(-1)?.cumulative_devices ?? 0;
  const turn = turnOf(nowMs, REMIND_EVERY_MS, { first: 0, past, span: REMIND_SPAN });
  const busy = new Map(await readBusy(tx, tenantId, id));
  const openZones = new Map<string, boolean>();
  let reminded = 0;
  for (const { device_id: deviceId, site, zone } of await untoldDevices(tx, tenantId, id, turn)) {
    const zoneName = zone ?? "";
    if (window && !openZones.has(zoneName))
      openZones.set(zoneName, isOpen(window, zoneName, nowMs));
    if (window && !openZones.get(zoneName)) continue;
    const atSite = site === null ? 0 : (busy.get(site) ?? 0);
    if (disruption && site !== null && atSite >= disruption.atMost) continue;
    if (site !== null) busy.set(site, atSite + 1);
    said.push(word(tenantId, deviceId));
    reminded += 1;
    if (reminded === OFFER_BATCH) return;
  }
}

/** A rollout that has ended still reminds those whose window or site kept them from their offer. */
export async function stepFinished(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
): Promise<{ said: Announcements; more: boolean; changed: boolean }> {
  const { tenant_id: tenantId, id } = rollout;
  const said: Announcements = [];
  const now = deps.clock.now();
  const isWaiting = await hasUntold(tx, tenantId, id);
  const isStopped = (await readStop(tx, tenantId)) !== null;
  if (isWaiting && !isStopped) await remindUntold(tx, rollout, said, now);
  const next = isWaiting ? new Date(now + REMIND_LATE_MS) : null;
  await updateRollout(tx, tenantId, id, { next_evaluation_at: next });
  return { said, more: false, changed: false };
}

/** A dynamic rollout leaves alone who no longer matches what it asks for. */
async function thoseWhoLeft(
  tx: Tx,
  rollout: RolloutRow,
  devices: readonly AddressedDevice[],
  nowMs: number,
): Promise<AddressedDevice[]> {
  const ids = devices.map((device) => device.device_id);
  const query = compileFleetQuery(rollout.query);
  const matching = await stillMatching(tx, rollout.tenant_id, query, ids, nowMs);
  // On a stepping stone a device has changed by our own doing.
  return devices.filter((device) => !matching.has(device.device_id) && !device.was_offered);
}

/** Tells devices that are on their way to stop, those of the stages from `fromStage` on. */
export async function cancelNext(
  deps: RolloutsDeps,
  tx: Tx,
  rollout: RolloutRow,
  said: Announcements,
  fromStage = 0,
): Promise<number> {
  const { tenant_id: tenantId, id } = rollout;
  const now = deps.clock.now();
  const devices = await takeToCancel(tx, tenantId, id, fromStage, OFFER_BATCH);
  const { deadlines } = rollout.policy as RolloutPolicy;
  const writer = createAssignmentWriter(deps);
  const offers: Offered[] = [];
  for (const device of devices) {
    const order: Order = { ...orderOf(rollout, device), action: "cancel" };
    const envelope = await writer.write(order, device);
    const lasts = Math.max(deadlines.offered, deadlines.rebooting + deadlines.confirming);
    const deadlineAt = new Date(now + graceful(lasts));
    offers.push({ deviceId: device.device_id, envelope, deadlineAt });
  }
  await writeCancellations(tx, tenantId, id, offers, new Date(now));
  for (const { deviceId } of offers) said.push(word(tenantId, deviceId));
  return devices.length;
}

/** A device that waits for its word is told through the gateway that holds its connection. */
export function word(tenantId: string, deviceId: string): Announcements[number] {
  return { subject: subjects.device(tenantId, deviceId), message: { kind: "update" } };
}

export function orderOf(rollout: RolloutRow, device: AddressedDevice): Order {
  const goesBack = rollout.kind === "rollback";
  const holdsTarget = device.other_slot_sha256 === device.target_sha256;
  const failedBefore = device.last_action === "switch-slot";
  return {
    tenantId: rollout.tenant_id,
    action: goesBack && holdsTarget && !failedBefore ? "switch-slot" : "install",
    allowDowngrade: goesBack,
    deadlines: (rollout.policy as RolloutPolicy).deadlines,
    traceparent: rollout.traceparent,
  };
}

const UNVERIFIED: Failure = {
  phase: "offered",
  element: "secure-boot",
  message: "the device does not report that it was started with Secure Boot on",
};

const LEFT: Failure = {
  phase: "pending",
  element: "query",
  message: "the device no longer matches what the rollout asks for",
};

async function writeEnds(
  tx: Tx,
  rollout: RolloutRow,
  devices: readonly AddressedDevice[],
  end: { state: "succeeded" | "withdrawn"; failure: Failure | null },
  now: Date,
): Promise<void> {
  const changes = devices.map((device) => ({
    rolloutId: rollout.id,
    deviceId: device.device_id,
    ...end,
    deadlineAt: null,
    progress: null,
    finishedAt: now,
    bootId: null,
    format: null,
    bytesDownloaded: 0,
    bytesBySource: null,
  }));
  await writeDevices(tx, rollout.tenant_id, changes, now);
}
