-- How often the devices of a product speak, and when they sleep; the tenant's settings hold for the rest.
create table presence_rules (
  tenant_id text not null references tenants (id) on delete cascade,
  product text not null,
  heartbeat_interval_seconds integer not null,
  offline_after_missed integer not null,
  -- [{"from": "22:00", "to": "06:00"}], UTC, every day.
  sleep jsonb not null default '[]',
  updated_at timestamptz not null,
  updated_by text not null,
  primary key (tenant_id, product)
);
select vautn.isolate_tenants('presence_rules');

alter table device_states
  -- How much later than expected heartbeats come: mean, as RFC 3550 §6.4.1 estimates it.
  add column heartbeat_jitter_ms real not null default 0,
  -- Until when the device has said that it sleeps.
  add column asleep_until timestamptz,
  -- Connections that broke: a count that fades within hours, and the moment that it is of.
  add column link_drops real not null default 0,
  add column link_drops_at timestamptz,
  add column health text not null default 'unknown'
    check (health in ('unknown', 'healthy', 'degraded', 'failing', 'offline')),
  -- [{"code", "message", "since"}], the worst first.
  add column health_reasons jsonb not null default '[]',
  add column health_changed_at timestamptz,
  -- When its health has to be judged again; null where nothing is about to change it.
  add column health_due_at timestamptz;
create index device_states_health_due on device_states (health_due_at)
  where health_due_at is not null;
create index device_states_by_health on device_states (tenant_id, health);
update device_states set health_due_at = now() where presence <> 'never';

-- Tenants with devices whose health has to be judged.
create function vautn.tenants_with_due_health(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from (
       select tenant_id from device_states where health_due_at <= moment
       order by health_due_at limit 10000) due $$;
revoke all on function vautn.tenants_with_due_health from public;
grant execute on function vautn.tenants_with_due_health to vautn_app;

-- What the platform has found out about a device, in the order of time.
create table device_timeline (
  tenant_id text not null,
  device_id text not null,
  at timestamptz not null,
  id uuid not null default gen_random_uuid(),
  kind text not null,
  details jsonb not null default '{}',
  primary key (tenant_id, device_id, at, id),
  foreign key (tenant_id, device_id) references device_states (tenant_id, device_id)
    on delete cascade
);
select vautn.isolate_tenants('device_timeline');
create index device_timeline_by_age on device_timeline (at);
create index alerts_by_subject on alerts (tenant_id, subject_kind, subject_id, opened_at);

create function vautn.tenants_with_old_timeline(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from (
       select tenant_id from device_timeline where at <= moment order by at limit 10000) old $$;
revoke all on function vautn.tenants_with_old_timeline from public;
grant execute on function vautn.tenants_with_old_timeline to vautn_app;

-- Gateways that have said lately that they live.
create function vautn.live_gateways(since timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select gateway_id from mqtt_gateways where seen_at >= since $$;
revoke all on function vautn.live_gateways from public;
grant execute on function vautn.live_gateways to vautn_app;

-- Gateways that hold devices of a tenant by what was written last: a few steps through the index.
create function vautn.gateways_holding(tenant text) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ with recursive g as (
       (select gateway_id from device_states where connected and gateway_id is not null
        order by gateway_id limit 1)
       union all
       select (select s.gateway_id from device_states s
               where s.connected and s.gateway_id > g.gateway_id order by s.gateway_id limit 1)
       from g where g.gateway_id is not null)
     select gateway_id from g
     where gateway_id is not null and exists (
       select 1 from device_states s
       where s.connected and s.gateway_id = g.gateway_id and s.tenant_id = tenant) $$;
revoke all on function vautn.gateways_holding from public;
grant execute on function vautn.gateways_holding to vautn_app;

create or replace function vautn.tenants_with_presence_alerts(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from alerts
     where state <> 'resolved'
       and kind in ('device-offline', 'devices-offline', 'platform-outage')
       and opened_at <= moment limit 1000 $$;

select vautn.open_to_confined('device_timeline', 'select',
  'device_id in (select vautn.confined_devices())');
select vautn.open_to_confined('presence_rules', 'select', 'true');
