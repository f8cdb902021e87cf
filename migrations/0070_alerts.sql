create table alerts (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  -- What makes two reports the same alert while it is open.
  dedup_key text not null,
  kind text not null,
  severity text not null check (severity in ('info', 'warning', 'critical')),
  title text not null,
  subject_kind text not null,
  subject_id text not null,
  state text not null check (state in ('open', 'acknowledged', 'resolved')),
  details jsonb not null default '{}',
  occurrences integer not null default 1,
  opened_at timestamptz not null,
  last_seen_at timestamptz not null,
  acknowledged_at timestamptz,
  acknowledged_by text,
  resolved_at timestamptz,
  primary key (tenant_id, id)
);
select vautn.isolate_tenants('alerts');
create unique index alerts_open on alerts (tenant_id, dedup_key) where state <> 'resolved';
create index alerts_by_time on alerts (tenant_id, opened_at desc, id desc);

create table webhooks (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  url text not null,
  secret_sealed bytea not null,
  -- Event types (CloudEvents `type`), or {*}.
  event_types text[] not null,
  enabled boolean not null default true,
  created_at timestamptz not null,
  created_by text not null,
  primary key (tenant_id, id)
);
select vautn.isolate_tenants('webhooks');

create table webhook_deliveries (
  tenant_id text not null,
  id uuid not null,
  webhook_id uuid not null,
  event jsonb not null,
  status text not null check (status in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  last_status integer,
  last_error text,
  created_at timestamptz not null,
  delivered_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, webhook_id) references webhooks (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('webhook_deliveries');
create index webhook_deliveries_by_webhook
  on webhook_deliveries (tenant_id, webhook_id, created_at desc, id desc);
create index webhook_deliveries_done on webhook_deliveries (tenant_id, created_at)
  where status <> 'pending';
create index webhook_deliveries_due on webhook_deliveries (next_attempt_at) where status = 'pending';

create function vautn.tenants_with_due_deliveries(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from webhook_deliveries
     where status = 'pending' and next_attempt_at <= moment limit 1000 $$;
revoke all on function vautn.tenants_with_due_deliveries from public;
grant execute on function vautn.tenants_with_due_deliveries to vautn_app;
