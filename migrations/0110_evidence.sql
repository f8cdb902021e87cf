-- An incident is durable before it is acknowledged, and counted exactly once: by the transaction that
-- adds it to the evidence of the rollouts which its device is part of. Null: not yet.
alter table device_incidents
  add column counted_at timestamptz,
  -- The boot in which the device told of it.
  add column boot_id text,
  -- A crash that the boot after it told of, and not the program that crashed.
  add column told_by_boot boolean not null default false,
  -- Key of the other report of the same crash, where a device has told of it twice.
  add column also_key text;
-- What came before was counted as it came in.
update device_incidents set counted_at = received_at;
create index device_incidents_uncounted on device_incidents (tenant_id, received_at)
  where counted_at is null;
create index device_incidents_by_age on device_incidents (received_at);

create or replace function vautn.tenants_with_due_rollouts(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select tenant_id from rollouts where next_evaluation_at <= moment
     union
     select tenant_id from rollout_devices where phase_deadline_at <= moment
     union
     select tenant_id from device_incidents where counted_at is null
     limit 1000 $$;

-- Tenants with incidents that nobody asks for any more.
create function vautn.tenants_with_old_incidents(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from (
       select tenant_id from device_incidents where received_at <= moment limit 10000) old $$;
revoke all on function vautn.tenants_with_old_incidents from public;
grant execute on function vautn.tenants_with_old_incidents to vautn_app;

-- Tenants whose devices' silence is on the list of alerts: it ends when they are heard again.
create function vautn.tenants_with_presence_alerts(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from alerts
     where state <> 'resolved' and kind in ('device-offline', 'devices-offline')
       and opened_at <= moment limit 1000 $$;
revoke all on function vautn.tenants_with_presence_alerts from public;
grant execute on function vautn.tenants_with_presence_alerts to vautn_app;
create index alerts_open_by_kind on alerts (kind, tenant_id) where state <> 'resolved';
create index device_states_by_change on device_states (tenant_id, presence, presence_changed_at);

-- What the anomaly detectors know of a tenant's fleet, to go on after a restart; in pieces.
create table detector_snapshots (
  tenant_id text not null references tenants (id) on delete cascade,
  part integer not null,
  data bytea not null,
  saved_at timestamptz not null,
  primary key (tenant_id, part)
);
select vautn.isolate_tenants('detector_snapshots');
