import type { Accuse } from "./agents.ts";
import type { Unit } from "./units.ts";
import { TENANT, type World } from "./world.ts";

/** Updates that devices have begun within this minute: each must have been allowed to. */
export async function checkBegun(
  world: World,
  updateIds: readonly string[],
  tickMinutes: number,
  accuse: Accuse,
): Promise<void> {
  if (updateIds.length === 0) return;
  const { rows } = await world.owner.query(
    `select d.device_id, d.stage_index as device_stage, r.id, r.state, r.stage_index, r.paused_at,
            r.needs_approval and r.approved_at is null as is_unapproved
     from rollout_devices d join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
     where d.tenant_id = $1 and d.update_id = any($2::uuid[]) and r.kind = 'update'`,
    [TENANT, updateIds],
  );
  const now = world.clock.now();
  for (const row of rows) {
    if (row.is_unapproved) accuse("nobody gets an image that nobody has approved", row);
    const pausedFor = row.paused_at ? now - row.paused_at.getTime() : 0;
    if (row.state === "paused" && pausedFor > tickMinutes * 60_000) {
      accuse("of a paused rollout nobody new starts within a tick", row);
    }
    const isOpen = row.state === "running" || row.state === "succeeded";
    if (isOpen && row.device_stage > row.stage_index) {
      accuse("no device is ever beyond what the stage allows", row);
    }
  }
}

/** What has to hold whenever one looks. */
export async function checkRollouts(world: World, accuse: Accuse): Promise<void> {
  const { rows: beyond } = await world.owner.query(
    `select d.rollout_id, d.device_id, d.state, d.stage_index from rollout_devices d
     join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
     where d.tenant_id = $1 and r.kind = 'update' and r.state in ('running', 'paused', 'needs-decision')
       and d.stage_index > r.stage_index
       and d.state in ('offered', 'downloading', 'installing', 'rebooting', 'confirming', 'succeeded')
       and not exists (select from rollouts b where b.tenant_id = r.tenant_id
         and b.rolls_back = r.id and b.rolls_back_stage is not null)
     limit 5`,
    [TENANT],
  );
  for (const row of beyond) accuse("no device is ever beyond what the stage allows", row);
  const { rows: unlike } = await world.owner.query(
    `select coalesce(c.rollout_id, n.rollout_id) as rollout_id, c.stage_index, c.state,
            c.devices as counted, n.devices as rows
     from (select * from rollout_counters where tenant_id = $1 and devices > 0) c
     full join (select rollout_id, stage_index, state, count(*) as devices,
                       count(excluded_reason) as excluded
                from rollout_devices where tenant_id = $1 group by 1, 2, 3) n
       using (rollout_id, stage_index, state)
     where c.devices is distinct from n.devices or c.excluded is distinct from n.excluded limit 5`,
    [TENANT],
  );
  for (const row of unlike) accuse("counters equal the rows", row);
  const { rows: arms } = await world.owner.query(
    `select c.rollout_id, c.cohort, c.treated, c.control, n.treated as treated_rows,
            n.control as control_rows
     from rollout_cohorts c
     join (select rollout_id, cohort,
                  count(*) filter (where state in ('confirming', 'succeeded')) as treated,
                  count(*) filter (where state = 'pending') as control
           from rollout_devices
           where tenant_id = $1 and excluded_reason is null and not is_absent
           group by 1, 2) n using (rollout_id, cohort)
     where c.tenant_id = $1 and (c.treated <> n.treated or c.control <> n.control) limit 5`,
    [TENANT],
  );
  for (const row of arms) accuse("the arms of the comparison equal the rows", row);
  const { rows: twice } = await world.owner.query(
    `select d.device_id, count(*) from rollout_devices d
     join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
     where d.tenant_id = $1 and r.kind = 'update'
       and r.state in ('preparing', 'running', 'paused', 'needs-decision')
       and d.state in ('offered', 'downloading', 'installing', 'rebooting', 'confirming')
     group by 1 having count(*) > 1 limit 5`,
    [TENANT],
  );
  for (const row of twice) accuse("no device has two updates at once", row);
}

/** At the end of the year, when all is over and everybody is on line again. */
export async function checkEnd(
  world: World,
  units: readonly Unit[],
  accuse: Accuse,
): Promise<Record<string, number>> {
  const { rows: open } = await world.owner.query(
    `select r.name, r.kind, r.state as rollout, d.state, count(*) as devices
     from rollout_devices d join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
     where d.tenant_id = $1 and d.state not in
       ('succeeded', 'failed', 'fell-back', 'rejected', 'silent', 'withdrawn')
     group by 1, 2, 3, 4 limit 10`,
    [TENANT],
  );
  for (const row of open) accuse("every device ends in a stated state", row);
  const { rows: unended } = await world.owner.query(
    `select name, kind, state from rollouts where tenant_id = $1
       and state not in ('succeeded', 'rolled-back', 'cancelled', 'failed')`,
    [TENANT],
  );
  for (const row of unended) accuse("every rollout ends in a stated state", row);
  const { rows: last } = await world.owner.query(
    `select distinct on (device_id) device_id, state, target_sha256 from rollout_devices
     where tenant_id = $1 and state in ('succeeded') order by device_id, finished_at desc`,
    [TENANT],
  );
  const byId = new Map(units.map((unit) => [unit.id, unit]));
  const { rows: known } = await world.owner.query(
    "select device_id, firmware_sha256 from device_states where tenant_id = $1",
    [TENANT],
  );
  for (const row of known) {
    const unit = byId.get(row.device_id);
    if (unit && unit.running.hash !== row.firmware_sha256) {
      accuse("the platform knows what a device runs", { device: row.device_id });
    }
  }
  for (const row of last) {
    if (byId.get(row.device_id)?.running.hash === row.target_sha256) continue;
    // A device that was repaired, or whose later update did not end well, runs something else.
    const { rows: later } = await world.owner.query(
      `select 1 from rollout_devices where tenant_id = $1 and device_id = $2
         and state in ('failed', 'fell-back', 'silent', 'withdrawn')
         and finished_at >= (select max(finished_at) from rollout_devices
           where tenant_id = $1 and device_id = $2 and state = 'succeeded') limit 1`,
      [TENANT, row.device_id],
    );
    if (later.length === 0) accuse("who counts as updated runs the image", row);
  }
  const { rows: states } = await world.owner.query(
    "select state, count(*)::int as devices from rollout_devices where tenant_id = $1 group by 1",
    [TENANT],
  );
  return Object.fromEntries(states.map((row) => [row.state, row.devices]));
}
