-- What a device last said of itself. Apart from `devices` because it changes with each heartbeat.
create table device_states (
  tenant_id text not null,
  device_id text not null,
  presence text not null default 'never' check (presence in ('never', 'online', 'late', 'offline')),
  presence_changed_at timestamptz,
  -- When the next step towards offline falls due; null when it is offline already.
  presence_deadline_at timestamptz,
  connected boolean not null default false,
  gateway_id text,
  connection_id text,
  connected_at timestamptz,
  disconnected_at timestamptz,
  last_seen_at timestamptz,
  last_heartbeat_at timestamptz,
  heartbeat_seq bigint not null default -1,
  boot_id text,
  booted_at timestamptz,
  uptime_seconds double precision,
  firmware_version text,
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

-- Tenants that have devices whose presence falls due: the worker's way in, which reads no more.
create function vautn.tenants_with_due_presence(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from device_states where presence_deadline_at <= moment limit 1000 $$;
revoke all on function vautn.tenants_with_due_presence from public;
grant execute on function vautn.tenants_with_due_presence to vautn_app;

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

create table device_groups (
  tenant_id text not null references tenants (id) on delete cascade,
  name text not null,
  query text not null,
  created_at timestamptz not null,
  primary key (tenant_id, name)
);
select vautn.isolate_tenants('device_groups');
