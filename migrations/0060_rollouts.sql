create table rollouts (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  name text not null,
  kind text not null check (kind in ('update', 'rollback')),
  release_id uuid not null,
  -- For kind rollback: the rollout that it undoes.
  rolls_back uuid,
  query text not null,
  policy jsonb not null,
  state text not null check (state in
    ('preparing', 'running', 'paused', 'needs-decision', 'succeeded', 'rolling-back', 'rolled-back', 'cancelled', 'failed')),
  state_reason text not null default '',
  stage_index integer not null default 0,
  stage_started_at timestamptz,
  -- What the gate remembers from look to look.
  gate_state jsonb not null default '{}',
  -- Up to when exposure has been accrued.
  accrued_at timestamptz,
  -- The gate's latest word, also where it was not worth a row in rollout_verdicts.
  last_verdict jsonb,
  looks integer not null default 0,
  next_evaluation_at timestamptz,
  revision integer not null default 1,
  created_at timestamptz not null,
  created_by text not null,
  started_at timestamptz,
  finished_at timestamptz,
  paused_at timestamptz,
  traceparent text,
  primary key (tenant_id, id),
  foreign key (tenant_id, release_id) references releases (tenant_id, id)
);
select vautn.isolate_tenants('rollouts');
create index rollouts_due on rollouts (next_evaluation_at) where next_evaluation_at is not null;
create index rollouts_active on rollouts (tenant_id, state)
  where state in ('preparing', 'running', 'paused', 'needs-decision', 'rolling-back');
create index rollouts_by_time on rollouts (tenant_id, created_at desc);

create table rollout_stages (
  tenant_id text not null,
  rollout_id uuid not null,
  stage_index integer not null,
  name text not null,
  is_holdback boolean not null,
  -- Devices that the rollout may have touched when this stage is full.
  cumulative_devices integer not null,
  started_at timestamptz,
  finished_at timestamptz,
  primary key (tenant_id, rollout_id, stage_index),
  foreign key (tenant_id, rollout_id) references rollouts (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('rollout_stages');

-- One row for each device of the plan. States: pending (not started), the phases of protocol
-- UPDATE_PHASES, `silent` (a deadline passed without a word), `withdrawn` (never started).
create table rollout_devices (
  tenant_id text not null,
  rollout_id uuid not null,
  device_id text not null,
  stage_index integer not null,
  -- Order within the rollout.
  ordinal integer not null,
  state text not null check (state in
    ('pending', 'offered', 'downloading', 'installing', 'rebooting', 'confirming', 'succeeded',
     'failed', 'fell-back', 'rejected', 'silent', 'withdrawn')),
  progress real,
  update_id uuid not null,
  source_version text,
  source_sha256 text,
  -- What the device is to run: the rollout's release, or in a rollback what it came from.
  target_release_id uuid not null,
  target_sha256 text not null,
  -- Left out of both arms of the gate, with the reason.
  excluded_reason text,
  -- Envelope of the latest Assignment.
  assignment jsonb,
  -- Since when the assignment is a cancellation.
  cancelled_at timestamptz,
  -- The boot in which the device said that it would restart: another one means that it has.
  boot_id text,
  -- Time of the last counted event by metric, in milliseconds: one in 24 hours counts.
  counted jsonb not null default '{}',
  offered_at timestamptz,
  phase_deadline_at timestamptz,
  updated_at timestamptz,
  finished_at timestamptz,
  failure jsonb,
  format text,
  bytes_downloaded bigint not null default 0,
  bytes_full bigint not null default 0,
  primary key (tenant_id, rollout_id, device_id),
  unique (tenant_id, update_id),
  foreign key (tenant_id, rollout_id) references rollouts (tenant_id, id) on delete cascade,
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('rollout_devices');
create index rollout_devices_next on rollout_devices (tenant_id, rollout_id, stage_index, ordinal)
  where state = 'pending';
create index rollout_devices_open on rollout_devices (tenant_id, device_id)
  where state in ('offered', 'downloading', 'installing', 'rebooting', 'confirming');
create index rollout_devices_due on rollout_devices (phase_deadline_at, tenant_id, rollout_id)
  where phase_deadline_at is not null;
create index rollout_devices_of_rollout on rollout_devices (tenant_id, rollout_id, ordinal);
create index rollout_devices_by_device on rollout_devices (tenant_id, device_id, offered_at desc);

-- Counters that move in the transaction of the status event; never recounted.
create table rollout_counters (
  tenant_id text not null,
  rollout_id uuid not null,
  stage_index integer not null,
  state text not null,
  devices integer not null default 0 check (devices >= 0),
  -- Those of them that the gate leaves out.
  excluded integer not null default 0 check (excluded >= 0),
  bytes_downloaded bigint not null default 0,
  bytes_full bigint not null default 0,
  primary key (tenant_id, rollout_id, stage_index, state),
  foreign key (tenant_id, rollout_id) references rollouts (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('rollout_counters');

-- A device that is removed takes its rows along; the counters follow.
create function vautn.uncount_rollout_device() returns trigger language plpgsql as $$
begin
  update rollout_counters
  set devices = devices - 1, excluded = excluded - (old.excluded_reason is not null)::int
  where tenant_id = old.tenant_id and rollout_id = old.rollout_id
    and stage_index = old.stage_index and state = old.state;
  return null;
end $$;
create trigger uncount_rollout_device after delete on rollout_devices
  for each row execute function vautn.uncount_rollout_device();

-- What the gate weighs: events and exposure of both arms, by metric.
create table rollout_evidence (
  tenant_id text not null,
  rollout_id uuid not null,
  metric text not null,
  arm text not null check (arm in ('treated', 'control')),
  -- At most one a device in 24 hours.
  events bigint not null default 0,
  raw_events bigint not null default 0,
  exposure_ms double precision not null default 0,
  primary key (tenant_id, rollout_id, metric, arm),
  foreign key (tenant_id, rollout_id) references rollouts (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('rollout_evidence');

create table rollout_verdicts (
  tenant_id text not null,
  rollout_id uuid not null,
  seq integer not null,
  at timestamptz not null,
  stage_index integer not null,
  decision text not null check (decision in
    ('wait', 'promote', 'pause', 'ask', 'finish', 'resume', 'rollback', 'cancel', 'start')),
  rule text not null,
  sentence text not null,
  numbers jsonb not null,
  decided_by text not null,
  primary key (tenant_id, rollout_id, seq),
  foreign key (tenant_id, rollout_id) references rollouts (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('rollout_verdicts');

-- A large rollout makes the statistics of the tables stale at a stroke, long before autovacuum comes
-- by; without them the planner takes the new rows for none and reads the table from end to end.
create function vautn.analyze_rollouts() returns void
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  analyze rollout_devices;
end $$;
revoke all on function vautn.analyze_rollouts from public;
grant execute on function vautn.analyze_rollouts to vautn_app;

create function vautn.tenants_with_due_rollouts(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select tenant_id from rollouts where next_evaluation_at <= moment
     union
     select tenant_id from rollout_devices where phase_deadline_at <= moment
     limit 1000 $$;
revoke all on function vautn.tenants_with_due_rollouts from public;
grant execute on function vautn.tenants_with_due_rollouts to vautn_app;
