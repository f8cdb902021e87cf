import { type Selectable, sql, type Updateable } from "kysely";
import type { Schema, Tx } from "../db/index.ts";
import type { StagePlan } from "./gate/index.ts";
import type { RolloutPolicy } from "./policy.ts";
import type { RolloutState } from "./types.ts";

export type RolloutRow = Selectable<Schema["rollouts"]>;
export type StageRow = Selectable<Schema["rollout_stages"]>;
export type RolloutChanges = Omit<Updateable<Schema["rollouts"]>, "tenant_id" | "id">;

export const ACTIVE_STATES: readonly RolloutState[] = [
  "preparing",
  "running",
  "paused",
  "needs-decision",
  "rolling-back",
];

/** In these it could still bring its release to a device. */
export const STOPPABLE_STATES: readonly RolloutState[] = [
  "preparing",
  "running",
  "paused",
  "needs-decision",
];

export async function insertRollout(
  tx: Tx,
  row: Pick<
    RolloutRow,
    | "tenant_id"
    | "id"
    | "name"
    | "kind"
    | "release_id"
    | "rolls_back"
    | "query"
    | "state"
    | "next_evaluation_at"
    | "created_at"
    | "created_by"
    | "traceparent"
  > & { policy: object; gate_state: object; started_at?: Date } & Partial<
      Pick<
        RolloutRow,
        "priority" | "is_dynamic" | "created_by_id" | "needs_approval" | "rolls_back_stage"
      >
    >,
  stages: readonly StagePlan[],
): Promise<void> {
  await tx.insertInto("rollouts").values(row).execute();
  await tx
    .insertInto("rollout_stages")
    .values(
      stages.map((stage, index) => ({
        tenant_id: row.tenant_id,
        rollout_id: row.id,
        stage_index: index,
        name: stage.name,
        is_holdback: stage.isHoldback,
        cumulative_devices: stage.cumulativeDevices,
        started_at: row.started_at && index === 0 ? row.started_at : null,
      })),
    )
    .execute();
}

/** From now on the reconciler looks at it. */
export async function beginPreparing(
  tx: Tx,
  tenantId: string,
  id: string,
  from: Date,
): Promise<void> {
  await tx
    .updateTable("rollouts")
    .set({ next_evaluation_at: from })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .where("state", "=", "preparing")
    .execute();
}

export function findRollout(tx: Tx, tenantId: string, id: string): Promise<RolloutRow | undefined> {
  return tx
    .selectFrom("rollouts")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .executeTakeFirst();
}

/**
 * The rollout, locked until the transaction ends; undefined where another worker has it. The lock
 * leaves foreign keys to it free, so that devices' reports never wait for the reconciler.
 */
export async function lockRollout(
  tx: Tx,
  tenantId: string,
  id: string,
  whenTaken: "skip" | "wait",
): Promise<RolloutRow | undefined> {
  const query = tx
    .selectFrom("rollouts")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .forNoKeyUpdate();
  return (whenTaken === "skip" ? query.skipLocked() : query).executeTakeFirst();
}

export async function updateRollout(
  tx: Tx,
  tenantId: string,
  id: string,
  changes: RolloutChanges,
): Promise<void> {
  await tx
    .updateTable("rollouts")
    .set({ ...changes, revision: sql`revision + 1` })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

/** Asks for a look right now, unless one is due anyway. */
export async function wakeRollouts(
  tx: Tx,
  tenantId: string,
  ids: readonly string[],
  now: Date,
): Promise<void> {
  await tx
    .updateTable("rollouts")
    .set({ next_evaluation_at: now, look_due_at: now })
    .where("tenant_id", "=", tenantId)
    .where("id", "in", [...ids])
    .where("next_evaluation_at", "is not", null)
    .where((build) =>
      build.or([build("next_evaluation_at", ">", now), build("look_due_at", ">", now)]),
    )
    .execute();
}

export async function activeRollouts(tx: Tx, tenantId: string): Promise<string[]> {
  const rows = await tx
    .selectFrom("rollouts")
    .select("id")
    .where("tenant_id", "=", tenantId)
    .where("state", "in", [...ACTIVE_STATES])
    .orderBy("id")
    .execute();
  return rows.map((row) => row.id);
}

/** Rollouts whose next look or whose devices' deadlines have come. */
export async function dueRollouts(
  tx: Tx,
  tenantId: string,
  now: Date,
  limit: number,
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    (select id from rollouts where tenant_id = ${tenantId} and next_evaluation_at <= ${now}
     order by next_evaluation_at limit ${limit})
    union
    (select distinct rollout_id from rollout_devices
     where tenant_id = ${tenantId} and phase_deadline_at <= ${now} limit ${limit})`.execute(tx);
  return rows.map((row) => row.id);
}

export async function readStages(
  tx: Tx,
  tenantId: string,
  rolloutIds: readonly string[],
): Promise<StageRow[]> {
  return tx
    .selectFrom("rollout_stages")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("rollout_id", "in", [...rolloutIds])
    .orderBy("rollout_id")
    .orderBy("stage_index")
    .execute();
}

export async function beginStage(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  stageIndex: number,
  now: Date,
): Promise<void> {
  await finishStage(tx, tenantId, rolloutId, stageIndex - 1, now);
  await tx
    .updateTable("rollout_stages")
    .set({ started_at: now })
    .where("tenant_id", "=", tenantId)
    .where("rollout_id", "=", rolloutId)
    .where("stage_index", "=", stageIndex)
    .execute();
}

export async function finishStage(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  stageIndex: number,
  now: Date,
): Promise<void> {
  await tx
    .updateTable("rollout_stages")
    .set({ finished_at: now })
    .where("tenant_id", "=", tenantId)
    .where("rollout_id", "=", rolloutId)
    .where("stage_index", "=", stageIndex)
    .execute();
}

export interface RolloutFilter {
  state?: RolloutState | undefined;
  before?: { createdAt: Date; id: string } | undefined;
}

/** Newest first. */
export async function listRollouts(
  tx: Tx,
  tenantId: string,
  filter: RolloutFilter,
  limit: number,
): Promise<RolloutRow[]> {
  let query = tx
    .selectFrom("rollouts")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(limit);
  if (filter.state) query = query.where("state", "=", filter.state);
  const { before } = filter;
  if (before) {
    query = query.where(sql<boolean>`(created_at, id) < (${before.createdAt}, ${before.id}::uuid)`);
  }
  return query.execute();
}

/** A device of a rollout that was undone turned out to have the image after all: it goes back too. */
export async function reopenRollbacks(
  tx: Tx,
  tenantId: string,
  undone: readonly string[],
  now: Date,
): Promise<void> {
  await tx
    .updateTable("rollouts")
    .set({ state: "running", finished_at: null, next_evaluation_at: now })
    .where("tenant_id", "=", tenantId)
    .where("rolls_back", "in", [...undone])
    // Of its stages there is nothing to go back to any more.
    .where("rolls_back_stage", "is", null)
    .where("state", "in", ["succeeded", "failed"])
    .execute();
}

export function rollbackOf(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
): Promise<RolloutRow | undefined> {
  return tx
    .selectFrom("rollouts")
    .selectAll()
    .where("tenant_id", "=", tenantId)
    .where("rolls_back", "=", rolloutId)
    .orderBy("created_at", "desc")
    .limit(1)
    .executeTakeFirst();
}

/** The way back of a rollout's stages that is under way, if one is. */
export async function openStageRollback(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
): Promise<string | undefined> {
  const row = await tx
    .selectFrom("rollouts")
    .select("id")
    .where("tenant_id", "=", tenantId)
    .where("rolls_back", "=", rolloutId)
    .where("rolls_back_stage", "is not", null)
    .where("state", "=", "running")
    .limit(1)
    .executeTakeFirst();
  return row?.id;
}

/** Products and versions of releases, for views. */
export async function releaseNames(
  tx: Tx,
  tenantId: string,
  ids: readonly string[],
): Promise<Map<string, { version: string; product: string }>> {
  const rows = await tx
    .selectFrom("releases")
    .select(["id", "version", "product"])
    .where("tenant_id", "=", tenantId)
    .where("id", "in", [...new Set(ids)])
    .execute();
  return new Map(rows.map(({ id, version, product }) => [id, { version, product }]));
}

/** Rollouts that could still bring the release to devices; the way back is none of them. */
export async function rolloutsOfRelease(
  tx: Tx,
  tenantId: string,
  releaseId: string,
): Promise<string[]> {
  const rows = await tx
    .selectFrom("rollouts")
    .select("id")
    .where("tenant_id", "=", tenantId)
    .where(sql<boolean>`(release_id = ${releaseId} or exists (
      select from releases stone join releases target
        on target.tenant_id = stone.tenant_id and target.product = stone.product
      where stone.tenant_id = ${tenantId} and stone.id = ${releaseId}
        and target.id = rollouts.release_id
        and rollouts.policy -> 'steppingStones' ? stone.version))`)
    .where("kind", "!=", "rollback")
    .where("state", "in", [...STOPPABLE_STATES])
    .execute();
  return rows.map((row) => row.id);
}

/** Why a rollout's release, or a stepping stone to it, was withdrawn; undefined where none was. */
export async function findYank(
  tx: Tx,
  { tenant_id: tenantId, release_id: releaseId, policy }: RolloutRow,
): Promise<string | undefined> {
  const stones = (policy as RolloutPolicy).steppingStones ?? [];
  const { rows } = await sql<{ yank_reason: string | null }>`
    select y.yank_reason from releases y
    join releases target on target.tenant_id = y.tenant_id and target.product = y.product
    where y.tenant_id = ${tenantId} and target.id = ${releaseId} and y.status = 'yanked'
      and (y.id = ${releaseId} or y.version = any(${[...stones]}::text[]))
    order by y.id = ${releaseId} desc limit 1`.execute(tx);
  const [row] = rows;
  return row && (row.yank_reason ?? "no reason given");
}
