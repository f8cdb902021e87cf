import { subjects } from "../bus/index.ts";
import type { Tx } from "../db/index.ts";
import { compileFleetQuery } from "../devices/index.ts";
import { isAppError } from "../kernel/index.ts";
import {
  dynamicRollouts,
  forgetArrivals,
  growStages,
  hasArrivals,
  insertArrivals,
  takeArrivals,
  wasSwept,
} from "./arrivals-store.ts";
import { addCohorts } from "./cohorts-store.ts";
import { hopsOf } from "./creation.ts";
import { judgeFleet, type Question } from "./judging-store.ts";
import { judgedGroups, tryLockPlanning } from "./plan-store.ts";
import type { RolloutPolicy } from "./policy.ts";
import { lockRollout, type RolloutRow, readStages, wakeRollouts } from "./rollout-store.ts";
import { beginsLater, supersede } from "./taking-over.ts";
import type { RolloutsDeps } from "./types.ts";

const BATCH = 1_000;
/** Conditions on time (`lastSeen`, `online`) change without a trace: all are looked through. */
const SWEEP_MS = 3_600_000;

/**
 * Devices that have come to match what a dynamic rollout asks for join it, in its last stage, under
 * the same gate. The triggers of 0420 note who may have; once an hour everybody is asked.
 */
export async function joinArrivals(deps: RolloutsDeps, tenantId: string): Promise<void> {
  const now = deps.clock.now();
  const isDue = ({ swept_at: at }: RolloutRow) => now - (at?.getTime() ?? 0) >= SWEEP_MS;
  const open = await deps.db.tenant(tenantId, async (tx) => {
    const found = await dynamicRollouts(tx, tenantId);
    // What the last of them has left behind would have the tenant looked at for ever.
    if (found.length === 0) await forgetArrivals(tx, tenantId);
    return found.some(isDue) || (await hasArrivals(tx, tenantId)) ? found : [];
  });
  if (open.length === 0) return;
  const questions: { rollout: RolloutRow; question: Question }[] = [];
  for (const rollout of open) {
    const question = await questionOf(deps, tenantId, rollout, now);
    if (question) questions.push({ rollout, question });
  }
  const joined = await deps.db.tenant(tenantId, async (tx) => {
    // While somebody plans for the whole fleet, all other rollouts go on, and these wait.
    if (!(await tryLockPlanning(tx, tenantId))) return [];
    const deviceIds = await takeArrivals(tx, tenantId, BATCH);
    const grown: string[] = [];
    for (const { rollout, question } of questions) {
      const sweeps = isDue(rollout);
      if (!sweeps && deviceIds.length === 0) continue;
      const arriving = { rolloutId: rollout.id, deviceIds: sweeps ? null : deviceIds };
      if (await join(tx, tenantId, { ...question, arriving }, new Date(now)))
        grown.push(rollout.id);
      if (sweeps) await wasSwept(tx, tenantId, rollout.id, new Date(now));
    }
    if (grown.length > 0) await wakeRollouts(tx, tenantId, grown, new Date(now));
    return grown;
  });
  for (const id of joined) deps.bus.publish(subjects.rollout(tenantId, id), { rolloutId: id });
}

async function questionOf(
  deps: RolloutsDeps,
  tenantId: string,
  rollout: RolloutRow,
  nowMs: number,
): Promise<Question | undefined> {
  try {
    const release = await deps.firmware.releases.get(tenantId, rollout.release_id);
    const policy = rollout.policy as RolloutPolicy;
    const hops = await hopsOf(deps, tenantId, release, policy.steppingStones ?? []);
    const query = compileFleetQuery(rollout.query);
    return { release, query, policy, hops, seed: `${release.id}/${rollout.query}`, nowMs };
  } catch (error) {
    // A stone that has been yanked since: nobody joins by it.
    if (!isAppError(error)) throw error;
    deps.logger.warn({ tenantId, rolloutId: rollout.id, err: error }, "nobody can join a rollout");
    return undefined;
  }
}

async function join(
  tx: Tx,
  tenantId: string,
  question: Question & { arriving: { rolloutId: string; deviceIds: readonly string[] | null } },
  now: Date,
): Promise<boolean> {
  const id = question.arriving.rolloutId;
  await judgeFleet(tx, tenantId, question);
  const groups = await judgedGroups(tx, question.nowMs);
  if (groups.every(({ refusal }) => refusal !== null)) return false;
  const rollout = await lockRollout(tx, tenantId, id, "wait");
  if (!rollout) return false;
  const stages = await readStages(tx, tenantId, [id]);
  const last = stages.filter((stage) => !stage.is_holdback).length - 1;
  const stage = Math.max(last, rollout.stage_index);
  await addCohorts(tx, tenantId, id);
  const added = await insertArrivals(tx, tenantId, id, stage, question.hops);
  await growStages(tx, tenantId, id, stage, added);
  const waits = rollout.state === "preparing" && beginsLater(rollout);
  if (!waits) await supersede(tx, tenantId, id, now);
  return added.devices > 0;
}
