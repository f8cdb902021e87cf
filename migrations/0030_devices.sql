-- What a device last said of itself. Apart from `devices` because it changes with each heartbeat.
create table device_states (
  tenant_id text not null,
  device_id text not null,
  presence text not null default 'never' check (presence in ('never', 'online', 'late', 'offline')),
  presence_changed_at timestamptz,
  -- When the next step towards offline falls due; null when it is offline already.
  presence_deadline_at timestamptz,
  connected boolean not null default false,
  -- The gateway that holds, or last held, the connection.
  gateway_id text,
  connection_id text,
  connected_at timestamptz,
  disconnected_at timestamptz,
  disconnect_reason text,
  last_seen_at timestamptz,
  last_heartbeat_at timestamptz,
  heartbeat_seq bigint not null default -1,
  boot_id text,
  booted_at timestamptz,
  uptime_seconds double precision,
  firmware_version text,
  -- Sorts as semantic versions do (src/devices/version-order.ts); null where the version is none.
  firmware_version_key text collate "C",
  firmware_sha256 text,
  slot text,
  other_slot_version text,
  other_slot_sha256 text,
  formats text[] not null default '{full}',
  metrics jsonb not null default '{}',
  -- Highest sequence of an update assignment that was signed for it.
  assignment_sequence bigint not null default 0,
  primary key (tenant_id, device_id),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('device_states');
create index device_states_due on device_states (presence_deadline_at)
  where presence_deadline_at is not null;
create index device_states_by_firmware on device_states (tenant_id, firmware_sha256);
create index device_states_by_gateway on device_states (gateway_id) where connected;

-- Whoever makes a device (an operator, an enrolment), it has a state from the first moment on.
create function vautn.make_device_state() returns trigger language plpgsql as $$
begin
  insert into device_states (tenant_id, device_id) values (new.tenant_id, new.id);
  return null;
end $$;
create trigger make_device_state after insert on devices
  for each row execute function vautn.make_device_state();

-- Tenants that have devices whose presence falls due: the worker's way in, which reads no more.
create function vautn.tenants_with_due_presence(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from device_states where presence_deadline_at <= moment limit 1000 $$;
revoke all on function vautn.tenants_with_due_presence from public;
grant execute on function vautn.tenants_with_due_presence to vautn_app;

-- The same without a bound, for the one time at the start when every deadline is put off.
create function vautn.tenants_with_pending_presence(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from device_states where presence_deadline_at <= moment $$;
revoke all on function vautn.tenants_with_pending_presence from public;
grant execute on function vautn.tenants_with_pending_presence to vautn_app;

-- Tenants whose devices a gateway says it holds: what it has to put right when it starts.
create function vautn.tenants_on_gateway(gateway text) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from device_states where connected and gateway_id = gateway $$;
revoke all on function vautn.tenants_on_gateway from public;
grant execute on function vautn.tenants_on_gateway to vautn_app;

-- Crashes, fallbacks, failed self-tests, silence: what the gate and the health page count. `key`
-- names the incident on the device (boot id and sequence), so that redelivery counts once.
create table device_incidents (
  tenant_id text not null,
  device_id text not null,
  kind text not null,
  key text not null,
  occurred_at timestamptz not null,
  received_at timestamptz not null,
  firmware_sha256 text,
  details jsonb not null default '{}',
  primary key (tenant_id, device_id, kind, key),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('device_incidents');
create index device_incidents_by_time on device_incidents (tenant_id, kind, occurred_at);

-- Saved fleet queries.
create table device_groups (
  tenant_id text not null references tenants (id) on delete cascade,
  name text not null,
  query text not null,
  created_at timestamptz not null,
  primary key (tenant_id, name)
);
select vautn.isolate_tenants('device_groups');
