import type { Tx } from "../db/index.ts";
import { compileFleetQuery } from "../devices/index.ts";
import { AppError, timeOrderedId } from "../kernel/index.ts";
import { currentTraceparent } from "../kernel/tracing.ts";
import type { Actor } from "../tenancy/index.ts";
import { countNewDevices, createCounters, moveCounters } from "./counter-store.ts";
import { initialGateState } from "./gate/index.ts";
import { insertDevices, withdraw } from "./membership-store.ts";
import { auditRollout } from "./outcome.ts";
import {
  crashCounts,
  lockPlanning,
  publishedImages,
  refreshStatistics,
  supersededOffers,
  takenDevices,
} from "./plan-store.ts";
import {
  CHRONIC_DAYS,
  newRows,
  type PlannedRollout,
  planRollout,
  sourcesOf,
  summarise,
  whyNoWayBack,
} from "./planning.ts";
import { completePolicy, type RolloutPolicy } from "./policy.ts";
import { lockByDevices } from "./progress-store.ts";
import { insertRollout } from "./rollout-store.ts";
import type { RolloutPlan, RolloutSpec, RolloutsDeps, SignedRelease } from "./types.ts";

const MAX_NAME = 128;
const MAX_DELTA_SOURCES = 200;
/** A rollout of this size changes what the database should know of the table. */
const ANALYZE_FROM = 500;

interface Prepared {
  release: SignedRelease;
  policy: RolloutPolicy;
  planned: PlannedRollout;
}

/** What a rollout would do; changes nothing. */
export async function plan(
  deps: RolloutsDeps,
  tenantId: string,
  spec: RolloutSpec,
): Promise<RolloutPlan> {
  const { release, planned } = await prepare(deps, tenantId, spec);
  const { devices, stages, refused } = planned;
  let from = 0;
  const bytes = await expectedBytes(deps, tenantId, release, planned);
  return {
    totalDevices: devices.length,
    stages: stages.map((stage, index) => {
      const members = devices.slice(from, stage.cumulativeDevices);
      from = stage.cumulativeDevices;
      return {
        index,
        name: stage.name,
        cumulativeDevices: stage.cumulativeDevices,
        deviceIds: members.map(({ member }) => member.id),
      };
    }),
    excluded: refused,
    notCompared: devices.flatMap(({ member, excludedReason }) =>
      excludedReason === null ? [] : { deviceId: member.id, reason: excludedReason },
    ),
    withoutWayBack: await wayBack(deps, tenantId, release, planned),
    ...bytes,
  };
}

/** Freezes the list of devices in its order and asks for the deltas; the reconciler does the rest. */
export async function create(
  deps: RolloutsDeps,
  tenantId: string,
  spec: RolloutSpec,
  actor: Actor,
  traceparent: string = currentTraceparent(),
): Promise<{ id: string }> {
  const name = spec.name.trim();
  if (name === "" || name.length > MAX_NAME) {
    throw new AppError("invalid-request", `a name has 1 to ${MAX_NAME} characters`, {
      path: "/name",
    });
  }
  const { release, policy, planned } = await prepare(deps, tenantId, spec);
  const sources = sourcesOf(planned.devices).slice(0, MAX_DELTA_SOURCES);
  await deps.firmware.requestDeltas(tenantId, release.imageSha256, sources);
  const now = new Date(deps.clock.now());
  const id = timeOrderedId(now.getTime());
  await deps.db.tenant(tenantId, async (tx) => {
    await assertStillFree(tx, tenantId, planned);
    const row = {
      tenant_id: tenantId,
      id,
      name,
      kind: "update" as const,
      release_id: release.id,
      rolls_back: null,
      query: spec.query,
      policy,
      gate_state: initialGateState(),
      state: "preparing" as const,
      next_evaluation_at: now,
      created_at: now,
      created_by: actor.name,
      traceparent,
    };
    await insertRollout(tx, row, planned.stages);
    await createCounters(tx, tenantId, id, planned.stages.length);
    await insertDevices(tx, tenantId, id, newRows(release, planned.devices));
    await countNewDevices(tx, tenantId, id);
    await supersede(tx, tenantId, planned, now);
    await auditRollout(deps, tx, tenantId, id, actor, "create", {
      name,
      releaseId: release.id,
      query: spec.query,
      devices: planned.devices.length,
    });
  });
  if (planned.devices.length >= ANALYZE_FROM) {
    await deps.db.tenant(tenantId, (tx) => refreshStatistics(tx));
  }
  return { id };
}

async function prepare(deps: RolloutsDeps, tenantId: string, spec: RolloutSpec): Promise<Prepared> {
  const policy = completePolicy(spec.policy);
  const query = compileFleetQuery(spec.query);
  const release = await deps.firmware.releases.get(tenantId, spec.releaseId);
  if (release.status === "yanked") {
    throw new AppError("release-yanked", `${release.version} has been withdrawn`);
  }
  const since = new Date(deps.clock.now() - CHRONIC_DAYS * 86_400_000);
  const planned = await deps.db.tenant(tenantId, async (tx) => {
    const members = await deps.devices.matching(tx, tenantId, query);
    const taken = await takenDevices(tx, tenantId);
    const crashes = await crashCounts(tx, tenantId, since);
    // A plan and the rollout that follows it touch the same devices in the same order.
    const seed = `${release.id}/${spec.query}`;
    return planRollout(release, members, policy, { seed, taken, crashes });
  });
  if (planned.devices.length === 0) {
    const why = summarise(planned.refused) || "the query matches no device";
    throw new AppError("release-incompatible", `${release.version} fits no device: ${why}`, {
      excluded: planned.refused.slice(0, 100),
    });
  }
  return { release, policy, planned };
}

/** Two rollouts that are made at once must not share devices: the second one is refused. */
async function assertStillFree(tx: Tx, tenantId: string, planned: PlannedRollout): Promise<void> {
  await lockPlanning(tx, tenantId);
  const taken = await takenDevices(tx, tenantId);
  const both = planned.devices.find(({ member }) => taken.has(member.id));
  if (!both) return;
  const { id } = both.member;
  throw new AppError("conflict", `${id} has just become part of "${taken.get(id)}"; plan again`);
}

/** What an earlier, finished rollout still had on offer for these devices is withdrawn. */
async function supersede(
  tx: Tx,
  tenantId: string,
  planned: PlannedRollout,
  now: Date,
): Promise<void> {
  const ids = planned.devices.map(({ member }) => member.id);
  const stale = await supersededOffers(tx, tenantId, ids);
  for (const [rolloutId, rows] of Map.groupBy(stale, (row) => row.rollout_id)) {
    const deviceIds = rows.map((row) => row.device_id);
    const devices = await lockByDevices(tx, tenantId, [rolloutId], deviceIds);
    const offered = devices.filter((device) => device.state === "offered");
    await withdraw(
      tx,
      tenantId,
      rolloutId,
      offered.map((device) => device.device_id),
      now,
    );
    const steps = offered.map((device) => ({
      rolloutId,
      stageIndex: device.stage_index,
      from: device.state,
      to: "withdrawn" as const,
      excluded: device.excluded_reason !== null,
      bytesDownloaded: 0,
      bytesFull: 0,
    }));
    await moveCounters(tx, tenantId, steps);
  }
}

/** Devices that could not return to what they run now: better known before than after. */
async function wayBack(
  deps: RolloutsDeps,
  tenantId: string,
  release: SignedRelease,
  planned: PlannedRollout,
): Promise<RolloutPlan["withoutWayBack"]> {
  const counters = await deps.db.tenant(tenantId, (tx) =>
    publishedImages(tx, tenantId, release.product, sourcesOf(planned.devices)),
  );
  return planned.devices.flatMap(({ member }) => {
    const known = counters.get(member.firmware_sha256 ?? "");
    const source = { source_version: member.firmware_version, security_counter: known ?? null };
    const reason = whyNoWayBack(source, known !== undefined, release.securityCounter);
    return reason ? { deviceId: member.id, reason } : [];
  });
}

/** What the update costs on the line, by what is ready now, and from where the devices come. */
async function expectedBytes(
  deps: RolloutsDeps,
  tenantId: string,
  release: SignedRelease,
  planned: PlannedRollout,
): Promise<Pick<RolloutPlan, "paths" | "bytesFull" | "bytesExpected">> {
  const kinds = Map.groupBy(planned.devices, ({ member }) =>
    JSON.stringify([member.firmware_sha256, [...member.formats].sort()]),
  );
  let bytesExpected = 0;
  const paths = new Map<string | null, number>();
  for (const members of kinds.values()) {
    const {
      firmware_sha256: sourceSha256,
      firmware_version: from,
      formats,
    } = (members[0] as (typeof members)[number]).member;
    const targetSha256 = release.imageSha256;
    const [smallest] = await deps.firmware.offers(tenantId, {
      targetSha256,
      sourceSha256,
      formats,
    });
    bytesExpected += members.length * (smallest?.sizeBytes ?? release.imageSizeBytes);
    paths.set(from, (paths.get(from) ?? 0) + members.length);
  }
  return {
    paths: [...paths].map(([from, devices]) => ({ from, to: release.version, devices })),
    bytesFull: planned.devices.length * release.imageSizeBytes,
    bytesExpected,
  };
}
