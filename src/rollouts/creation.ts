import type { Tx } from "../db/index.ts";
import { compileFleetQuery } from "../devices/index.ts";
import { AppError, timeOrderedId } from "../kernel/index.ts";
import { currentTraceparent } from "../kernel/tracing.ts";
import type { Actor } from "../tenancy/index.ts";
import { countDynamic, MAX_DYNAMIC } from "./arrivals-store.ts";
import { countCohorts, createCohorts } from "./cohorts-store.ts";
import { countWritten, createCounters } from "./counter-store.ts";
import { askForDeltas, askForWayBack } from "./delta-demand.ts";
import { estimateDuration } from "./estimate.ts";
import { initialGateState, planStages, type StagePlan } from "./gate/index.ts";
import { judgeFleet, type Question } from "./judging-store.ts";
import { auditRollout } from "./outcome.ts";
import {
  countReasons,
  crashesSince,
  insertJudged,
  type JudgedGroup,
  type JudgedKind,
  judgedGroups,
  judgedKinds,
  judgedReach,
  judgedReasons,
  judgedRunning,
  judgedSample,
  lockPlanning,
  type Ordering,
  publishedImages,
  refreshStatistics,
  releasesByVersion,
  stageDevices,
} from "./plan-store.ts";
import { CHRONIC_DAYS, type Hop, hopsTo, summarise, whyNoWayBack } from "./planning.ts";
import { comparedMetrics, completePolicy, type RolloutPolicy, startsAt } from "./policy.ts";
import { beginPreparing, insertRollout } from "./rollout-store.ts";
import { asksForFigures, readSpreads, SPREAD_SAMPLE } from "./spreads.ts";
import { beginsLater, supersede } from "./taking-over.ts";
import type { RolloutPlan, RolloutSpec, RolloutsDeps, SignedRelease } from "./types.ts";
import { wolfWarnings } from "./wolf.ts";

const MAX_NAME = 128;
/** A rollout of this size changes what the database should know of the table. */
const ANALYZE_FROM = 500;
/** Devices that a plan names of each stage, and of those that are left out; all are counted. */
const PLAN_NAMES = 1_000;
/** Within it the deltas of a new rollout have been asked for. */
const ASKING_MS = 60_000;
/** Kinds of devices (image and formats) whose artifacts a plan looks up; the rest count in full. */
const MAX_KINDS = 500;

/** The questions that planning puts to the fleet, and the release that they are about. */
interface Asked {
  release: SignedRelease;
  question: Question;
}

/** A fleet that has been judged, within one transaction. */
interface Judged {
  stages: StagePlan[];
  sizes: number[];
  ordering: Ordering;
  fitting: number;
  refused: { reason: string; devices: number }[];
  groups: JudgedGroup[];
  kinds: JudgedKind[];
}

/** What a rollout would do; changes nothing. */
export async function plan(
  deps: RolloutsDeps,
  tenantId: string,
  spec: RolloutSpec,
): Promise<RolloutPlan> {
  const { release, question } = await ask(deps, tenantId, spec);
  const now = deps.clock.now();
  const { kinds, crowd, facts, ...planned } = await deps.db.tenant(tenantId, async (tx) => {
    const judged = await judge(tx, tenantId, question);
    const { stages, sizes, ordering, fitting, refused } = judged;
    const members = await stageDevices(tx, ordering, sizes, PLAN_NAMES);
    const notCompared = countReasons(judged.groups, "exclusion");
    const left = notCompared.reduce((sum, { devices }) => sum + devices, 0);
    const since = new Date(now - CHRONIC_DAYS * 86_400_000);
    const crashes = await crashesSince(tx, tenantId, since);
    const reach = judgedReach(judged.groups);
    const estimate = estimateDuration(question.policy, stages, {
      reach,
      devices: fitting,
      compared: fitting - left,
      crashesPerDeviceHour: crashes / (Math.max(1, fitting) * CHRONIC_DAYS * 24),
    });
    return {
      kinds: judged.kinds,
      totalDevices: fitting,
      stages: stages.map((stage, index) => ({
        index,
        name: stage.name,
        cumulativeDevices: stage.cumulativeDevices,
        deviceIds: members[index] ?? [],
      })),
      excluded: refused.length > 0 ? await judgedReasons(tx, "refusal", PLAN_NAMES) : [],
      excludedReasons: refused,
      notCompared: left > 0 ? await judgedReasons(tx, "exclusion", PLAN_NAMES) : [],
      notComparedReasons: notCompared,
      estimate,
      facts: {
        crashesPerDeviceHour: estimate.crashesPerDeviceHour,
        offlineShare: fitting > 0 ? 1 - reach.now / fitting : 0,
      },
      crowd: {
        stages,
        deviceIds: asksForFigures(question.policy) ? await judgedSample(tx, SPREAD_SAMPLE) : [],
      },
      ...(await wayBack(tx, tenantId, release, judged.kinds)),
    };
  });
  const shown = await readSpreads(deps, tenantId, question.policy, crowd.deviceIds, now);
  return {
    ...planned,
    warnings: wolfWarnings(question.policy, crowd.stages, { ...facts, ...shown }),
    ...(await expectedBytes(deps, tenantId, question.hops, kinds)),
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
  const { release, question } = await ask(deps, tenantId, spec);
  const { policy, hops } = question;
  const now = new Date(deps.clock.now());
  const beginsAt = Math.max(now.getTime(), startsAt(policy));
  const needsApproval = (await deps.tenancy.settings(tenantId)).rolloutApprovals > 0;
  const id = timeOrderedId(now.getTime());
  const judged = await deps.db.tenant(tenantId, async (tx) => {
    // Two rollouts that are made at once must not share devices: the second one sees the first.
    await lockPlanning(tx, tenantId);
    if (policy.dynamic && (await countDynamic(tx, tenantId)) >= MAX_DYNAMIC) {
      const message = `the tenant may have ${MAX_DYNAMIC} open dynamic rollouts: end one first`;
      throw new AppError("quota-exceeded", message, { path: "/policy/dynamic" });
    }
    const found = await judge(tx, tenantId, question);
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
      // When its deltas have been asked for, or a minute later should this process die before.
      next_evaluation_at: new Date(beginsAt + ASKING_MS),
      created_at: now,
      created_by: actor.name,
      created_by_id: actor.id,
      priority: policy.priority ?? 0,
      is_dynamic: policy.dynamic ?? false,
      // Everybody has just been looked at.
      swept_at: policy.dynamic ? now : null,
      needs_approval: needsApproval,
      confined_to: spec.confinedTo ? [...spec.confinedTo] : null,
      traceparent,
    };
    await insertRollout(tx, row, found.stages);
    await createCohorts(tx, tenantId, id);
    await createCounters(tx, tenantId, id, found.stages.length, comparedMetrics(policy));
    const { ordering, sizes } = found;
    const written = await insertJudged(tx, tenantId, id, ordering, sizes, hops);
    await countWritten(tx, tenantId, id, written);
    await countCohorts(tx, tenantId, id, written);
    if (!beginsLater(row)) await supersede(tx, tenantId, id, now);
    await auditRollout(deps, tx, tenantId, id, actor, "create", {
      name,
      releaseId: release.id,
      query: spec.query,
      devices: found.fitting,
    });
    return found;
  });
  await askForDeltas(deps, tenantId, hops, judged.kinds);
  await askForWayBack(deps, tenantId, hops, judged.kinds);
  await deps.db.tenant(tenantId, async (tx) => {
    if (judged.fitting >= ANALYZE_FROM) await refreshStatistics(tx);
    await beginPreparing(tx, tenantId, id, new Date(beginsAt));
  });
  return { id };
}

export async function ask(deps: RolloutsDeps, tenantId: string, spec: RolloutSpec): Promise<Asked> {
  const policy = completePolicy(spec.policy);
  assertQueries(deps, policy);
  const query = compileFleetQuery(spec.query);
  const release = await deps.firmware.releases.get(tenantId, spec.releaseId);
  if (release.status === "yanked") {
    throw new AppError("release-yanked", `${release.version} has been withdrawn`);
  }
  const wanted = policy.steppingStones ?? [];
  const hops = await hopsOf(deps, tenantId, release, wanted);
  // A plan and the rollout that follows it touch the same devices in the same order.
  const seed = `${release.id}/${spec.query}`;
  return { release, question: { release, query, policy, hops, seed, nowMs: deps.clock.now() } };
}

function assertQueries({ queries }: RolloutsDeps, { metrics = [] }: RolloutPolicy): void {
  metrics.forEach(({ query }, index) => {
    const fault = query === undefined ? undefined : queries.faultOf(query);
    if (fault === undefined) return;
    const path = `/policy/metrics/${index}/query`;
    throw new AppError("invalid-request", `${path}: ${fault}`, { path });
  });
}

export async function hopsOf(
  deps: Pick<RolloutsDeps, "db">,
  tenantId: string,
  release: SignedRelease,
  wanted: readonly string[],
): Promise<Hop[]> {
  if (wanted.length === 0) return hopsTo(release, [], []);
  const stones = await deps.db.tenant(tenantId, (tx) =>
    releasesByVersion(tx, tenantId, release.product, wanted),
  );
  return hopsTo(release, wanted, stones);
}

/** Judges the fleet and sizes the stages; refuses a release that fits nobody. */
export async function judge(tx: Tx, tenantId: string, question: Question): Promise<Judged> {
  const { policy, release } = question;
  await judgeFleet(tx, tenantId, question);
  const groups = await judgedGroups(tx, question.nowMs);
  const kinds = judgedKinds(groups);
  const refused = countReasons(groups, "refusal");
  const fitting = kinds.reduce((sum, { devices }) => sum + devices, 0);
  if (fitting === 0) {
    const why = summarise(refused) || "the query matches no device";
    throw new AppError("release-incompatible", `${release.version} fits no device: ${why}`, {
      excluded: await judgedReasons(tx, "refusal", 100),
    });
  }
  const stages = planStages(policy, fitting);
  const sizes = stages.map((stage) => stage.cumulativeDevices);
  const isStaged = stages.filter((stage) => !stage.isHoldback).length > 1;
  const ordering = { canaries: isStaged ? (sizes[0] ?? 0) : 0, order: policy.order };
  return { stages, sizes, ordering, fitting, refused, groups, kinds };
}

/** Devices that could not return to what they run now: better known before than after. */
async function wayBack(
  tx: Tx,
  tenantId: string,
  release: SignedRelease,
  kinds: readonly JudgedKind[],
): Promise<Pick<RolloutPlan, "withoutWayBack" | "withoutWayBackReasons">> {
  const counters = await publishedImages(tx, tenantId, release.product, sourcesOf(kinds));
  const reasons = new Map<string | null, string>();
  const counts = new Map<string, number>();
  for (const { firmware_sha256: sha256, firmware_version: version, devices } of kinds) {
    const known = counters.get(sha256 ?? "");
    const source = { source_version: version, security_counter: known ?? null };
    const reason = whyNoWayBack(source, known !== undefined, release.securityCounter);
    if (!reason) continue;
    reasons.set(sha256, reason);
    counts.set(reason, (counts.get(reason) ?? 0) + devices);
  }
  const named = reasons.size > 0 ? await judgedRunning(tx, [...reasons.keys()], PLAN_NAMES) : [];
  return {
    withoutWayBack: named.map(({ id, firmware_sha256: sha256 }) => ({
      deviceId: id,
      reason: reasons.get(sha256) as string,
    })),
    withoutWayBackReasons: [...counts].map(([reason, devices]) => ({ reason, devices })),
  };
}

/** What the update costs on the line, by what is ready now, and by which versions devices come. */
async function expectedBytes(
  deps: RolloutsDeps,
  tenantId: string,
  hops: readonly Hop[],
  kinds: readonly JudgedKind[],
): Promise<Pick<RolloutPlan, "paths" | "bytesFull" | "bytesExpected">> {
  let bytesFull = 0;
  let bytesExpected = 0;
  const paths = new Map<string, RolloutPlan["paths"][number]>();
  for (const [index, kind] of kinds.entries()) {
    const way = hops.slice(kind.hop - 1);
    let sourceSha256 = kind.firmware_sha256;
    for (const hop of way) {
      const query = { targetSha256: hop.sha256, sourceSha256, formats: kind.formats };
      const [smallest] =
        index < MAX_KINDS ? await deps.firmware.offers(tenantId, query) : [undefined];
      bytesExpected += kind.devices * (smallest?.sizeBytes ?? hop.sizeBytes);
      bytesFull += kind.devices * hop.sizeBytes;
      sourceSha256 = hop.sha256;
    }
    const versions = way.map((hop) => hop.version);
    const key = JSON.stringify([kind.firmware_version, versions]);
    const path = paths.get(key);
    if (path) path.devices += kind.devices;
    else {
      const to = versions.at(-1) as string;
      const via = versions.slice(0, -1);
      paths.set(key, { from: kind.firmware_version, via, to, devices: kind.devices });
    }
  }
  return { paths: [...paths.values()], bytesFull, bytesExpected };
}

/** The images that devices run now, the commonest first. */
function sourcesOf(kinds: readonly JudgedKind[]): string[] {
  return [...new Set(kinds.flatMap((kind) => kind.firmware_sha256 ?? []))];
}
