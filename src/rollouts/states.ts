import type { RunningFirmware, UpdateState } from "../protocol/index.ts";

/** Where a device of a rollout stands. */
export const DEVICE_STATES = [
  "pending",
  "offered",
  "downloading",
  "installing",
  "rebooting",
  "confirming",
  "succeeded",
  "failed",
  "fell-back",
  "rejected",
  "silent",
  "withdrawn",
] as const;
export type DeviceState = (typeof DEVICE_STATES)[number];

/** Between the first word of the device and its last. */
export const UNDERWAY_STATES: readonly DeviceState[] = [
  "downloading",
  "installing",
  "rebooting",
  "confirming",
];
export const FAILED_STATES: readonly DeviceState[] = ["failed", "fell-back", "rejected", "silent"];
export const ENDED_STATES: readonly DeviceState[] = ["succeeded", ...FAILED_STATES, "withdrawn"];

export interface Failure {
  phase: string;
  element: string;
  message: string;
}

/** What is known of a device's part in a rollout. */
export interface DeviceProgress {
  state: DeviceState;
  targetSha256: string;
  /** Whether the assignment that is out is a cancellation. */
  cancelled: boolean;
  /** The boot in which the device said that it would restart. */
  bootId: string | null;
}

/** Where a device moves, or undefined where a report changes nothing. */
export type Move = { state: DeviceState; failure: Failure | null; bootId?: string | null };

const isOne = (states: readonly DeviceState[], state: DeviceState) => states.includes(state);

/**
 * What a device's report does. Repeats change nothing; reports in another order end in the same
 * state, for the end of an update outweighs its phases, and what runs after the boot everything.
 */
export function moveByReport(device: DeviceProgress, report: UpdateState): Move | undefined {
  switch (report.phase) {
    case "succeeded":
      return moveByClaim(device, report.running);
    case "fell-back":
      if (device.state === "fell-back" || device.state === "withdrawn") return undefined;
      return { state: "fell-back", failure: failureOf(report, "confirming", "fallback") };
    case "failed":
      return moveByFailure(device, report);
    case "rejected":
      // A device refuses to be told again what it is doing already: that is no refusal of ours.
      if (device.state !== "pending" && device.state !== "offered") return undefined;
      if (device.cancelled) return { state: "withdrawn", failure: null };
      return { state: "rejected", failure: failureOf(report, "verifying", "assignment") };
    case "offered":
      return undefined;
    default:
      return moveToPhase(device, report);
  }
}

/** Success is what runs after the boot; a claim without it is taken as "about to confirm". */
function moveByClaim(
  device: DeviceProgress,
  running: RunningFirmware | undefined,
): Move | undefined {
  if (running?.hash === device.targetSha256) {
    return device.state === "succeeded" ? undefined : { state: "succeeded", failure: null };
  }
  if (isOne(ENDED_STATES, device.state) && device.state !== "silent") return undefined;
  if (!running) {
    return device.state === "confirming" ? undefined : { state: "confirming", failure: null };
  }
  const message = `the device claims success and runs ${running.version} (${running.hash})`;
  return { state: "fell-back", failure: { phase: "confirming", element: "hash", message } };
}

function moveByFailure(device: DeviceProgress, report: UpdateState): Move | undefined {
  if (isOne(ENDED_STATES, device.state) && device.state !== "silent") return undefined;
  if (device.cancelled) return { state: "withdrawn", failure: null };
  return { state: "failed", failure: failureOf(report, "installing", "update") };
}

function moveToPhase(device: DeviceProgress, report: UpdateState): Move | undefined {
  const state = report.phase as DeviceState;
  if (device.state === state || device.state === "pending") return undefined;
  // A device that was taken for silent has come back and goes on.
  if (isOne(ENDED_STATES, device.state) && device.state !== "silent") return undefined;
  if (state === "rebooting") return { state, failure: null, bootId: report.bootId ?? null };
  return { state, failure: null };
}

/** A heartbeat as far as updates are concerned. */
export interface Sighting {
  hash: string;
  bootId: string;
}

/**
 * What a heartbeat does. It confirms devices that do not report phases of their own, and gives away
 * those that came back with another image, whatever they said before.
 */
export function moveBySighting(device: DeviceProgress, seen: Sighting): Move | undefined {
  const onTarget = seen.hash === device.targetSha256;
  switch (device.state) {
    case "offered":
    case "silent":
      return onTarget ? { state: "succeeded", failure: null } : undefined;
    case "rebooting":
    case "confirming":
      if (onTarget || device.bootId === null || seen.bootId === device.bootId) return undefined;
      return { state: "fell-back", failure: otherImage("rebooting", seen) };
    case "succeeded":
      return onTarget ? undefined : { state: "fell-back", failure: otherImage("running", seen) };
    default:
      return undefined;
  }
}

function otherImage(phase: string, seen: Sighting): Failure {
  return { phase, element: "hash", message: `the device runs another image (${seen.hash})` };
}

/**
 * What a deadline does that has passed. A device that never began keeps its offer while it is
 * offline or while offers are held (a pause, the kill switch): it is told when that has ended.
 * Everything else that stays silent has failed.
 */
export function moveByDeadline(
  device: DeviceProgress,
  known: { offline: boolean; held: boolean; runningSha256: string | null },
): Move | "wait" {
  if (device.cancelled) return { state: "withdrawn", failure: null };
  if (device.state === "offered" && (known.offline || known.held)) return "wait";
  if (known.runningSha256 === device.targetSha256) return { state: "succeeded", failure: null };
  const message = `nothing was heard within the deadline of the phase ${device.state}`;
  return { state: "silent", failure: { phase: device.state, element: "deadline", message } };
}

function failureOf(report: UpdateState, phase: string, element: string): Failure {
  return report.error ?? { phase, element, message: "the device gave no reason" };
}

/** Groups of states as the gate and people count them. */
export function groupCounts(counts: Partial<Record<DeviceState, number>>) {
  const sum = (states: readonly DeviceState[]) =>
    states.reduce((total, state) => total + (counts[state] ?? 0), 0);
  return {
    pending: counts.pending ?? 0,
    offered: counts.offered ?? 0,
    underway: sum(UNDERWAY_STATES),
    succeeded: counts.succeeded ?? 0,
    failed: sum(FAILED_STATES),
  };
}
