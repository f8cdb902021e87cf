import { subjects } from "../bus/index.ts";
import type { Tx } from "../db/index.ts";
import { compileFleetQuery } from "../devices/index.ts";
import { isAppError } from "../kernel/index.ts";
import {
  dynamicRollouts,
  growStages,
  insertArrivals,
  takeArrivals,
  wasSwept,
} from "./arrivals-store.ts";
import { hopsOf } from "./creation.ts";
import { judgeFleet, type Question } from "./judging-store.ts";
import { countJudged, lockPlanning } from "./plan-store.ts";
import type { RolloutPolicy } from "./policy.ts";
import { lockRollout, type RolloutRow, readStages, wakeRollouts } from "./rollout-store.ts";
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
  const open = await deps.db.tenant(tenantId, (tx) => dynamicRollouts(tx, tenantId));
  if (open.length === 0) return;
  const questions: { rollout: RolloutRow; question: Question }[] = [];
  for (const rollout of open) {
    const question = await questionOf(deps, tenantId, rollout, now);
    if (question) questions.push({ rollout, question });
  }
  const joined = await deps.db.tenant(tenantId, async (tx) => {
    await lockPlanning(tx, tenantId);
    const deviceIds = await takeArrivals(tx, tenantId, BATCH);
    const grown: string[] = [];
    for (const { rollout, question } of questions) {
      const sweeps = now - (rollout.swept_at?.getTime() ?? 0) >= SWEEP_MS;
      if (!sweeps && deviceIds.length === 0) continue;
      const arriving = { rolloutId: rollout.id, deviceIds: sweeps ? null : deviceIds };
      if (await join(tx, tenantId, { ...question, arriving })) grown.push(rollout.id);
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
): Promise<boolean> {
  const id = question.arriving.rolloutId;
  await judgeFleet(tx, tenantId, question);
  if ((await countJudged(tx)).fitting === 0) return false;
  const rollout = await lockRollout(tx, tenantId, id, "wait");
  if (!rollout) return false;
  const stages = await readStages(tx, tenantId, [id]);
  const last = stages.filter((stage) => !stage.is_holdback).length - 1;
  const stage = Math.max(last, rollout.stage_index);
  const added = await insertArrivals(tx, tenantId, id, stage, question.hops);
  await growStages(tx, tenantId, id, stage, added);
  return added.devices > 0;
}
