-- A rollout of a million devices is planned and written by one statement. What slowed each row down
-- goes: the reference to the rollout (a rollout is only ever removed with its tenant, whose devices
-- take the rows along) and update ids in random order.
alter table rollout_devices drop constraint rollout_devices_tenant_id_rollout_id_fkey;
alter table rollout_devices
  -- Of which only so many are disturbed at once; null where the policy does not ask.
  add column site text,
  -- The device's own time zone, where the policy has a maintenance window.
  add column zone text,
  -- Updates that come after this one before the device runs the rollout's release.
  add column hops_left smallint not null default 0,
  -- Times that it was begun anew after it had failed.
  add column attempts smallint not null default 0;

alter table rollouts
  add column priority integer not null default 0,
  -- Devices that come to match later join.
  add column is_dynamic boolean not null default false,
  -- When the whole fleet was last looked through for such devices.
  add column swept_at timestamptz,
  add column created_by_id text,
  -- Whether a second person has to agree before it begins, and who did.
  add column needs_approval boolean not null default false,
  add column approved_at timestamptz,
  add column approved_by text;

-- What the gate saw and remembered when it gave its word: enough to have it judge again.
alter table rollout_verdicts add column basis jsonb;

-- Devices to which something is being done: what budgets and limits at once are counted from.
create index rollout_devices_busy on rollout_devices (tenant_id, rollout_id, site)
  where phase_deadline_at is not null;
-- Devices within a window of their own time zone, in order.
create index rollout_devices_in_zone on rollout_devices
  (tenant_id, rollout_id, zone, stage_index, ordinal) where state = 'pending' and zone is not null;
-- Devices on a stepping stone that go on.
create index rollout_devices_between on rollout_devices (tenant_id, rollout_id)
  where state = 'succeeded' and hops_left > 0;
-- Devices that failed: tried again where the policy says so, and counted for the penalty box.
create index rollout_devices_failed on rollout_devices (tenant_id, rollout_id, finished_at)
  where state in ('failed', 'fell-back', 'rejected', 'silent');
create index rollout_devices_failures on rollout_devices (tenant_id, finished_at)
  where state in ('failed', 'fell-back', 'rejected', 'silent');
-- Devices that may have become part of what a dynamic rollout asks for.
create table rollout_arrivals (
  tenant_id text not null references tenants (id) on delete cascade,
  device_id text not null,
  primary key (tenant_id, device_id)
);
select vautn.isolate_tenants('rollout_arrivals');
create index rollouts_dynamic on rollouts (tenant_id)
  where is_dynamic and state in ('preparing', 'running', 'paused', 'needs-decision');

create function vautn.note_arrival() returns trigger language plpgsql as $$
declare device text := coalesce(to_jsonb(new) ->> 'device_id', to_jsonb(new) ->> 'id');
begin
  if exists (select from rollouts where tenant_id = new.tenant_id and is_dynamic
             and state in ('preparing', 'running', 'paused', 'needs-decision')) then
    insert into rollout_arrivals (tenant_id, device_id) values (new.tenant_id, device)
    on conflict do nothing;
  end if;
  return null;
end $$;
create trigger note_arrival after insert or update of product, hardware_revision, region, tags, status
  on devices for each row execute function vautn.note_arrival();
create trigger note_firmware after update of firmware_sha256 on device_states
  for each row when (old.firmware_sha256 is distinct from new.firmware_sha256)
  execute function vautn.note_arrival();

-- Connections that were lost since the gate's last look.
create index device_states_by_disconnect on device_states (tenant_id, disconnected_at);

-- Pardons from the penalty box: failures before them count no more.
create table rollout_pardons (
  tenant_id text not null,
  device_id text not null,
  pardoned_at timestamptz not null,
  pardoned_by text not null,
  primary key (tenant_id, device_id),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('rollout_pardons');

-- The kill switch: while it is on, nobody new begins an update.
create table rollout_stops (
  tenant_id text primary key references tenants (id) on delete cascade,
  stopped_at timestamptz not null,
  stopped_by text not null,
  reason text not null
);
select vautn.isolate_tenants('rollout_stops');

create or replace function vautn.tenants_with_due_rollouts(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select tenant_id from rollouts where next_evaluation_at <= moment
     union
     select tenant_id from rollout_devices where phase_deadline_at <= moment
     union
     select tenant_id from device_incidents where counted_at is null
     union
     select tenant_id from rollout_arrivals
     limit 1000 $$;
