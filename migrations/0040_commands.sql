create table commands (
  tenant_id text not null,
  id uuid not null,
  device_id text not null,
  -- Order per device.
  seq bigint generated always as identity,
  name text not null,
  args jsonb not null,
  status text not null check (status in
    ('queued', 'delivered', 'accepted', 'running', 'succeeded', 'failed', 'rejected', 'expired', 'cancelled')),
  created_at timestamptz not null,
  created_by text not null,
  expires_at timestamptz not null,
  delivered_at timestamptz,
  finished_at timestamptz,
  output jsonb,
  error text,
  -- What a device said after the command had expired or been cancelled: kept, and nothing more.
  late_result jsonb,
  late_result_at timestamptz,
  traceparent text,
  primary key (tenant_id, id),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('commands');
create index commands_open_by_device on commands (tenant_id, device_id, seq)
  where status in ('queued', 'delivered', 'accepted', 'running');
create index commands_by_device on commands (tenant_id, device_id, created_at desc);
create index commands_expiring on commands (expires_at)
  where status in ('queued', 'delivered', 'accepted', 'running');

create function vautn.tenants_with_expired_commands(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from commands
     where expires_at <= moment and status in ('queued', 'delivered', 'accepted', 'running')
     limit 1000 $$;
revoke all on function vautn.tenants_with_expired_commands from public;
grant execute on function vautn.tenants_with_expired_commands to vautn_app;
