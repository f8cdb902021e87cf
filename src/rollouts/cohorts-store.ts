import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { DeviceState } from "./states.ts";

/** Cohorts of a rollout; kinds of devices that are rarer share the last one. */
export const MAX_COHORTS = 32;

/** Which arm of the comparison a device in a state belongs to, if to any. */
export function armIn(state: DeviceState): "treated" | "control" | undefined {
  if (state === "pending") return "control";
  return state === "confirming" || state === "succeeded" ? "treated" : undefined;
}

/** Names the cohorts of the judged fleet, the largest first. */
export async function createCohorts(tx: Tx, tenantId: string, rolloutId: string): Promise<void> {
  await sql`
    insert into rollout_cohorts (tenant_id, rollout_id, cohort, hardware_revision, region)
    select ${tenantId}::text, ${rolloutId}::uuid, cohort, hardware_revision, region
    from (select hardware_revision, region, row_number() over (order by count(*) desc, 1, 2) - 1 as cohort
          from judged where refusal is null group by 1, 2) kinds
    where cohort < ${MAX_COHORTS - 1}
    union all
    select ${tenantId}, ${rolloutId}::uuid, ${MAX_COHORTS - 1}, null, null`.execute(tx);
}

/** Kinds that have come with arrivals get a cohort of their own while there is one left. */
export async function addCohorts(tx: Tx, tenantId: string, rolloutId: string): Promise<void> {
  await sql`
    insert into rollout_cohorts (tenant_id, rollout_id, cohort, hardware_revision, region)
    select ${tenantId}, ${rolloutId}::uuid, k.cohort, k.hardware_revision, k.region
    from (select j.hardware_revision, j.region,
                 row_number() over (order by count(*) desc, 1, 2)
                   + (select coalesce(max(cohort), -1) from rollout_cohorts
                      where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
                        and cohort < ${MAX_COHORTS - 1}) as cohort
          from judged j
          where j.refusal is null and not exists (
            select from rollout_cohorts c where c.tenant_id = ${tenantId}
              and c.rollout_id = ${rolloutId} and c.hardware_revision = j.hardware_revision
              and c.region = j.region)
          group by 1, 2) k
    where k.cohort < ${MAX_COHORTS - 1}
    on conflict do nothing`.execute(tx);
  await sql`
    insert into rollout_evidence (tenant_id, rollout_id, metric, arm, cohort)
    select e.tenant_id, e.rollout_id, e.metric, e.arm, c.cohort
    from rollout_evidence e
    join rollout_cohorts c on c.tenant_id = e.tenant_id and c.rollout_id = e.rollout_id
    where e.tenant_id = ${tenantId} and e.rollout_id = ${rolloutId} and e.cohort = 0
    on conflict do nothing`.execute(tx);
}

/** Number of the cohort of a row of \`judged\` called j, by a left join called c. */
export function cohortOfJudged(tenantId: string, rolloutId: string) {
  return sql`left join rollout_cohorts c on c.tenant_id = ${tenantId}
    and c.rollout_id = ${rolloutId} and c.hardware_revision = j.hardware_revision
    and c.region = j.region`;
}

/** Counts both arms of a new rollout. */
export async function countCohorts(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  written: readonly { cohort: number; isExcluded: boolean; isAbsent: boolean; devices: number }[],
): Promise<void> {
  const waiting = written.filter((row) => !row.isExcluded && !row.isAbsent);
  await sql`
    update rollout_cohorts c set control = n.devices
    from (select cohort, sum(devices) as devices
          from unnest(${waiting.map((row) => row.cohort)}::int[],
                      ${waiting.map((row) => row.devices)}::int[]) as w(cohort, devices)
          group by cohort) n
    where c.tenant_id = ${tenantId} and c.rollout_id = ${rolloutId}
      and c.cohort = n.cohort`.execute(tx);
}

/** How the arms of a cohort change. */
export interface ArmDelta {
  rolloutId: string;
  cohort: number;
  treated: number;
  control: number;
}

/** Moves the arms' sizes; rows are locked in one order, after those of the counters. */
export async function moveArms(
  tx: Tx,
  tenantId: string,
  deltas: readonly ArmDelta[],
): Promise<void> {
  const rows = deltas.filter((row) => row.treated !== 0 || row.control !== 0);
  if (rows.length === 0) return;
  await sql`
    with delta as (
      select * from unnest(
        ${rows.map((row) => row.rolloutId)}::uuid[], ${rows.map((row) => row.cohort)}::smallint[],
        ${rows.map((row) => row.treated)}::int[], ${rows.map((row) => row.control)}::int[]
      ) as d(rollout_id, cohort, treated, control)),
    locked as (
      select c.rollout_id, c.cohort from rollout_cohorts c join delta d using (rollout_id, cohort)
      where c.tenant_id = ${tenantId} order by c.rollout_id, c.cohort for update of c)
    update rollout_cohorts c
    set treated = c.treated + d.treated, control = c.control + d.control
    from locked l join delta d using (rollout_id, cohort)
    where c.tenant_id = ${tenantId} and c.rollout_id = l.rollout_id
      and c.cohort = l.cohort`.execute(tx);
}

/** Adds time to both arms of every cohort, as many device-milliseconds as devices are in it. */
export async function accrueExposure(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  elapsedMs: number,
): Promise<void> {
  await sql`
    update rollout_evidence e
    set exposure_ms = e.exposure_ms + ${elapsedMs}::float8
      * case e.arm when 'treated' then c.treated else c.control end
    from rollout_cohorts c
    where e.tenant_id = ${tenantId} and e.rollout_id = ${rolloutId} and c.tenant_id = ${tenantId}
      and c.rollout_id = ${rolloutId} and c.cohort = e.cohort
      and (c.treated > 0 or c.control > 0)`.execute(tx);
}

/** Names of a rollout's cohorts. */
export async function readCohorts(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
): Promise<Map<number, string>> {
  const { rows } = await sql<{ cohort: number; name: string }>`
    select cohort, coalesce(hardware_revision || '/' || region, 'others') as name
    from rollout_cohorts
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId}`.execute(tx);
  return new Map(rows.map(({ cohort, name }) => [cohort, name]));
}
