import semver from "semver";
import type { FleetMember } from "../devices/index.ts";
import { arrange, planStages, type StagePlan } from "./gate/index.ts";
import type { NewDeviceRow } from "./membership-store.ts";
import type { RolloutPolicy } from "./policy.ts";
import type { Release } from "./types.ts";

/** Crashes within the last fortnight from which on a device is a crasher of its own. */
export const CHRONIC_CRASHES = 2;
export const CHRONIC_DAYS = 14;

export interface PlannedDevice {
  member: FleetMember;
  stageIndex: number;
  /** Why the gate leaves it out of both arms, if it does. */
  excludedReason: string | null;
}

export interface PlannedRollout {
  /** In the order in which they are touched. */
  devices: PlannedDevice[];
  stages: StagePlan[];
  refused: { deviceId: string; reason: string }[];
}

/** What planning knows besides the devices themselves. */
export interface FleetFacts {
  /** Names the order: the same for a plan and for the rollout that is made of it. */
  seed: string;
  /** Devices that another open rollout holds, with its name. */
  taken: ReadonlyMap<string, string>;
  crashes: ReadonlyMap<string, number>;
}

/** Which devices take part, in which stage; and of the others, why not. Pure. */
export function planRollout(
  release: Release,
  members: readonly FleetMember[],
  policy: RolloutPolicy,
  facts: FleetFacts,
): PlannedRollout {
  const refused: { deviceId: string; reason: string }[] = [];
  const fitting: FleetMember[] = [];
  for (const member of members) {
    const reason = refusal(release, member, facts, policy);
    if (reason) refused.push({ deviceId: member.id, reason });
    else fitting.push(member);
  }
  const stages = planStages(policy, fitting.length);
  const candidates = fitting.map((member) => ({
    id: member.id,
    hardwareRevision: member.hardware_revision,
    region: member.region,
    member,
    excludedReason: exclusion(member, facts),
    excluded: exclusion(member, facts) !== null,
  }));
  const ordered = arrange(facts.seed, candidates, stages[0]?.cumulativeDevices ?? 0);
  let stageIndex = 0;
  const devices = ordered.map(({ member, excludedReason }, position) => {
    while (position >= (stages[stageIndex] as StagePlan).cumulativeDevices) stageIndex += 1;
    return { member, stageIndex, excludedReason };
  });
  return { devices, stages, refused };
}

/** Why a device cannot or need not have the release. */
function refusal(
  release: Release,
  member: FleetMember,
  facts: FleetFacts,
  policy: RolloutPolicy,
): string | undefined {
  if (member.product !== release.product) return `is a ${member.product}, not a ${release.product}`;
  if (!release.hardwareRevisions.includes(member.hardware_revision)) {
    return `has hardware ${member.hardware_revision}, the release is for ${release.hardwareRevisions.join(", ")}`;
  }
  if (member.status !== "active") return `is ${member.status}`;
  if (member.firmware_sha256 === release.imageSha256) return `runs ${release.version} already`;
  if (policy.requireSecureBoot && !member.secure_boot) {
    return "does not report that it was started with Secure Boot on";
  }
  const running = semver.valid(member.firmware_version ?? "");
  if (running && semver.gt(running, release.version)) return `runs the newer version ${running}`;
  const minimum = release.minimumSourceVersion;
  // What cannot be compared cannot be shown to be new enough.
  if (minimum && !running) {
    const known = member.firmware_version ?? "a version that it has not told";
    return `runs ${known}, the release needs ${minimum} or newer first`;
  }
  if (running && minimum && semver.lt(running, minimum)) {
    return `runs ${running}, the release needs ${minimum} or newer first`;
  }
  const other = facts.taken.get(member.id);
  if (other !== undefined) return `takes part in the open rollout "${other}"`;
  return undefined;
}

/** Why a device teaches the gate nothing. */
function exclusion(member: FleetMember, facts: FleetFacts): string | null {
  const crashes = facts.crashes.get(member.id) ?? 0;
  if (crashes >= CHRONIC_CRASHES) return `crashed ${crashes} times in ${CHRONIC_DAYS} days before`;
  // A device that is away can show no crash: as a control it would make every update look bad.
  if (member.presence === "offline" || member.presence === "never") return "was not connected";
  return null;
}

export function newRows(release: Release, planned: readonly PlannedDevice[]): NewDeviceRow[] {
  return planned.map(({ member, stageIndex, excludedReason }) => ({
    deviceId: member.id,
    stageIndex,
    state: "pending",
    sourceVersion: member.firmware_version,
    sourceSha256: member.firmware_sha256,
    targetReleaseId: release.id,
    targetSha256: release.imageSha256,
    excludedReason,
    failure: null,
    bytesFull: release.imageSizeBytes,
  }));
}

/** The images that the planned devices run now: what deltas are made from. */
export function sourcesOf(planned: readonly PlannedDevice[]): string[] {
  const sources = planned.flatMap(({ member }) => member.firmware_sha256 ?? []);
  return [...new Set(sources)];
}

/** Why a device cannot be brought back to an image, if it cannot. Pure. */
export function whyNoWayBack(
  source: { source_version: string | null; security_counter: number | null },
  isPublished: boolean,
  securityFloor: number,
): string | undefined {
  if (!isPublished) {
    return `its earlier image ${source.source_version ?? "(unknown)"} was never published here`;
  }
  if ((source.security_counter ?? 0) < securityFloor) {
    return `${source.source_version} lies below the security floor that the new image has raised`;
  }
  return undefined;
}

/** Refusals in a sentence: the commonest reasons with their counts. */
export function summarise(refused: readonly { reason: string }[]): string {
  const counts = new Map<string, number>();
  for (const { reason } of refused) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const commonest = [...counts].sort((left, right) => right[1] - left[1]).slice(0, 3);
  return commonest
    .map(([reason, count]) => `${count} ${count === 1 ? "device" : "devices"}: ${reason}`)
    .join("; ");
}
