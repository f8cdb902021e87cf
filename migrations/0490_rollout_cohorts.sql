-- Devices are compared with their like: a cohort is a hardware revision and a region. How many of
-- each are compared and can be heard is counted as it changes, for a look must not cost the fleet.
create table rollout_cohorts (
  tenant_id text not null,
  rollout_id uuid not null,
  cohort smallint not null,
  -- Null where several kinds are too rare to stand alone.
  hardware_revision text,
  region text,
  -- Devices that run the new image, and that wait for it.
  treated integer not null default 0 check (treated >= 0),
  control integer not null default 0 check (control >= 0),
  primary key (tenant_id, rollout_id, cohort),
  foreign key (tenant_id, rollout_id) references rollouts (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('rollout_cohorts');

alter table rollout_devices
  add column cohort smallint not null default 0,
  -- Silent, as far as the counters have heard of it.
  add column is_absent boolean not null default false;

alter table rollout_evidence add column cohort smallint not null default 0;
alter table rollout_evidence drop constraint rollout_evidence_pkey;
alter table rollout_evidence add primary key (tenant_id, rollout_id, metric, arm, cohort);

alter table rollouts
  -- When the gate is to look next; offers may be due before it.
  add column look_due_at timestamptz,
  -- Up to when logs and lost connections have been read.
  add column polled_at timestamptz,
  -- For a way back of one stage only: which.
  add column rolls_back_stage smallint;
update rollouts set look_due_at = next_evaluation_at, polled_at = accrued_at;

-- Rollouts that are open while the platform is brought up to date go on as one cohort each.
update rollout_devices d set is_absent = true
from device_states s, rollouts r
where s.tenant_id = d.tenant_id and s.device_id = d.device_id and s.presence = 'offline'
  and r.tenant_id = d.tenant_id and r.id = d.rollout_id
  and r.state in ('preparing', 'running', 'paused', 'needs-decision', 'rolling-back');
insert into rollout_cohorts (tenant_id, rollout_id, cohort, treated, control)
select r.tenant_id, r.id, 0,
       count(*) filter (where d.state in ('confirming', 'succeeded')),
       count(*) filter (where d.state = 'pending')
from rollouts r
left join rollout_devices d on d.tenant_id = r.tenant_id and d.rollout_id = r.id
  and d.excluded_reason is null and not d.is_absent
where r.state in ('preparing', 'running', 'paused', 'needs-decision', 'rolling-back')
group by r.tenant_id, r.id;

-- Devices that fell silent or came back since the reconciler last counted.
create table rollout_presence (
  tenant_id text not null references tenants (id) on delete cascade,
  device_id text not null,
  primary key (tenant_id, device_id)
);
select vautn.isolate_tenants('rollout_presence');

create function vautn.note_presence() returns trigger language plpgsql as $$
begin
  if exists (select from rollouts where tenant_id = new.tenant_id
             and state in ('preparing', 'running', 'paused', 'needs-decision', 'rolling-back')) then
    -- The row is locked though it stands already: who takes it away must see what we have written.
    insert into rollout_presence (tenant_id, device_id) values (new.tenant_id, new.device_id)
    on conflict (tenant_id, device_id) do update set device_id = excluded.device_id;
  end if;
  return null;
end $$;
create trigger note_presence after update of presence on device_states
  for each row when ((old.presence = 'offline') is distinct from (new.presence = 'offline'))
  execute function vautn.note_presence();

create or replace function vautn.uncount_rollout_device() returns trigger language plpgsql as $$
begin
  update rollout_counters
  set devices = devices - 1, excluded = excluded - (old.excluded_reason is not null)::int
  where tenant_id = old.tenant_id and rollout_id = old.rollout_id
    and stage_index = old.stage_index and state = old.state;
  if old.excluded_reason is null and not old.is_absent then
    update rollout_cohorts
    set treated = treated - (old.state in ('confirming', 'succeeded'))::int,
        control = control - (old.state = 'pending')::int
    where tenant_id = old.tenant_id and rollout_id = old.rollout_id and cohort = old.cohort;
  end if;
  return null;
end $$;

-- Offers that nobody has been told of, in order.
create index rollout_devices_untold on rollout_devices (tenant_id, rollout_id, ordinal)
  where state = 'offered' and phase_deadline_at is null;
-- Updated devices that have fallen silent.
create index rollout_devices_absent on rollout_devices (tenant_id, rollout_id, stage_index)
  where is_absent and state in ('confirming', 'succeeded');
