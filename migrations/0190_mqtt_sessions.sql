-- What the gateway keeps of a device's MQTT session between connections. One row for each device
-- that has ever connected: its epoch says which of two connections is the newer one.
create table mqtt_sessions (
  tenant_id text not null,
  device_id text not null,
  -- Rises with each connect: who holds a lower one has been taken over.
  epoch bigint not null,
  gateway_id text not null,
  former_gateway_id text,
  -- Whether the last connect went on with the session that was there.
  resumed boolean not null,
  -- 0: the session ends with its connection, and nothing of it is kept.
  expiry_seconds bigint not null,
  -- When a session without a connection ends; null while there is one.
  expires_at timestamptz,
  -- Subscriptions, and the packet identifiers that are in use in either direction.
  state jsonb not null,
  -- What is published at will_at unless the device is back by then.
  will jsonb,
  will_at timestamptz,
  primary key (tenant_id, device_id),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('mqtt_sessions');
create index mqtt_sessions_expiring on mqtt_sessions (expires_at) where expires_at is not null;
create index mqtt_sessions_with_wills on mqtt_sessions (will_at) where will_at is not null;

-- The last message of a topic that a device has asked to retain.
create table mqtt_retained (
  tenant_id text not null,
  device_id text not null,
  -- What follows the device's prefix.
  suffix text not null,
  payload bytea not null,
  qos smallint not null check (qos between 0 and 2),
  -- MQTT 5 properties that go with it.
  properties jsonb not null,
  expires_at timestamptz,
  primary key (tenant_id, device_id, suffix),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('mqtt_retained');
create index mqtt_retained_expiring on mqtt_retained (expires_at) where expires_at is not null;

create function vautn.tenants_with_due_sessions(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select tenant_id from mqtt_sessions where expires_at <= moment
     union select tenant_id from mqtt_sessions where will_at <= moment
     union select tenant_id from mqtt_retained where expires_at <= moment
     limit 1000 $$;
revoke all on function vautn.tenants_with_due_sessions from public;
grant execute on function vautn.tenants_with_due_sessions to vautn_app;
