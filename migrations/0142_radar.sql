-- What went wrong in rotations, as devices and the platform told: the last twenty of each device.
create table rotation_failures (
  tenant_id text not null,
  seq bigint generated always as identity,
  device_id text not null,
  at timestamptz not null,
  step text not null,
  element text not null,
  message text not null,
  primary key (tenant_id, device_id, seq),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('rotation_failures');
create index rotations_in_trouble on certificate_rotations (tenant_id, updated_at desc, device_id)
  where failures > 0 and step <> 'done';

-- Certificates that were shown and not accepted. Under the tenant that one names where there is
-- such a tenant, else under '_platform'; a bounded number for each.
create table certificate_knocks (
  tenant_id text not null,
  -- SHA-256 over the DER, hex
  fingerprint text not null,
  subject text not null,
  issuer text not null,
  -- Where the certificate names one, known or not.
  device_id text,
  reason text not null,
  count bigint not null,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  address text,
  primary key (tenant_id, fingerprint)
);
select vautn.isolate_tenants('certificate_knocks');
create policy platform_rows on certificate_knocks to vautn_app
  using (vautn.is_platform()) with check (vautn.is_platform());
create index certificate_knocks_by_time on certificate_knocks (tenant_id, last_seen_at desc, fingerprint);

-- A wave of rotations that people asked for.
create table rotation_campaigns (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  status text not null check (status in ('running', 'paused', 'finished', 'cancelled')),
  -- The fleet query, or empty where devices were named.
  query text not null,
  -- Devices that may be rotating at a time.
  concurrency integer not null check (concurrency > 0),
  deadline_seconds integer not null check (deadline_seconds > 0),
  jitter_seconds integer not null check (jitter_seconds >= 0),
  created_at timestamptz not null,
  created_by text not null,
  finished_at timestamptz,
  total integer not null,
  waiting integer not null,
  rotating integer not null default 0,
  succeeded integer not null default 0,
  failed integer not null default 0,
  skipped integer not null default 0,
  cancelled integer not null default 0,
  primary key (tenant_id, id)
);
select vautn.isolate_tenants('rotation_campaigns');
create index rotation_campaigns_running on rotation_campaigns (tenant_id) where status = 'running';

create table rotation_campaign_devices (
  tenant_id text not null,
  campaign_id uuid not null,
  device_id text not null,
  state text not null check (state in
    ('waiting', 'scheduled', 'rotating', 'succeeded', 'failed', 'skipped', 'cancelled')),
  -- When the command is due; scattered, so that a fleet does not come at once.
  due_at timestamptz,
  command_id uuid,
  sent_at timestamptz,
  finished_at timestamptz,
  -- Where it failed, and why.
  step text,
  error text,
  primary key (tenant_id, campaign_id, device_id),
  foreign key (tenant_id, campaign_id) references rotation_campaigns (tenant_id, id) on delete cascade,
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('rotation_campaign_devices');
create index rotation_campaign_devices_by_state
  on rotation_campaign_devices (tenant_id, campaign_id, state, device_id);
create index rotation_campaign_devices_open on rotation_campaign_devices (tenant_id, device_id)
  where state in ('waiting', 'scheduled', 'rotating');

create function vautn.tenants_with_running_campaigns(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from rotation_campaigns
     where status = 'running' and created_at <= moment limit 1000 $$;
revoke all on function vautn.tenants_with_running_campaigns from public;
grant execute on function vautn.tenants_with_running_campaigns to vautn_app;

create function vautn.tenants_with_certificates(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select id from tenants t where status = 'active' and created_at <= moment
     and exists (select from certificates c where c.tenant_id = t.id) order by id limit 10000 $$;
revoke all on function vautn.tenants_with_certificates from public;
grant execute on function vautn.tenants_with_certificates to vautn_app;
