-- Who is told of an alert: labels that routes, silences and inhibitions look at, the groups that are
-- told together, the channels that carry the word, and the rules that raise alerts.

alter table alerts
  add column labels jsonb not null default '{}',
  add column annotations jsonb not null default '{}',
  add column rule_id uuid,
  add column resolved_by text,
  -- It has changed since the dispatcher looked at it.
  add column undispatched boolean not null default false;
create index alerts_undispatched on alerts (tenant_id, id) where undispatched;
create index alerts_by_rule on alerts (tenant_id, rule_id) where rule_id is not null;
create index alerts_resolved on alerts (tenant_id, resolved_at) where state = 'resolved';

-- What happened to an alert, in the order in which it did.
create table alert_history (
  tenant_id text not null,
  id bigint generated always as identity,
  alert_id uuid not null,
  at timestamptz not null,
  what text not null,
  who text,
  details jsonb not null default '{}',
  primary key (tenant_id, id),
  foreign key (tenant_id, alert_id) references alerts (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('alert_history');
create index alert_history_by_alert on alert_history (tenant_id, alert_id, id);

create table alert_rules (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  name text not null,
  enabled boolean not null,
  spec jsonb not null,
  created_at timestamptz not null,
  created_by text not null,
  updated_at timestamptz not null,
  updated_by text not null,
  next_evaluation_at timestamptz not null,
  evaluated_at timestamptz,
  last_error text,
  firing integer not null default 0,
  pending integer not null default 0,
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
select vautn.isolate_tenants('alert_rules');
create index alert_rules_due on alert_rules (next_evaluation_at) where enabled;

-- What a rule remembers of each device (or of the one thing) that it looks at, while its condition holds.
create table alert_rule_states (
  tenant_id text not null,
  rule_id uuid not null,
  key text not null,
  state text not null check (state in ('pending', 'firing')),
  since timestamptz not null,
  last_true_at timestamptz not null,
  value double precision,
  labels jsonb not null default '{}',
  -- A person has resolved its alert: silent until the condition has ended once.
  dismissed boolean not null default false,
  primary key (tenant_id, rule_id, key),
  foreign key (tenant_id, rule_id) references alert_rules (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('alert_rule_states');

create table alert_silences (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  matchers text[] not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  comment text not null,
  created_at timestamptz not null,
  created_by text not null,
  ended_by text,
  primary key (tenant_id, id)
);
select vautn.isolate_tenants('alert_silences');
create index alert_silences_by_end on alert_silences (tenant_id, ends_at);

create table alert_policies (
  tenant_id text primary key references tenants (id) on delete cascade,
  document jsonb not null,
  updated_at timestamptz not null,
  updated_by text not null
);
select vautn.isolate_tenants('alert_policies');

create table alert_channels (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  name text not null,
  kind text not null check (kind in ('webhook', 'email', 'slack', 'pagerduty')),
  settings jsonb not null,
  secret_sealed bytea,
  enabled boolean not null,
  created_at timestamptz not null,
  created_by text not null,
  updated_at timestamptz not null,
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
select vautn.isolate_tenants('alert_channels');

-- Alerts that are told together. `notified` is what the channels know: alert id -> firing | acknowledged.
create table alert_groups (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  route text not null,
  group_key text not null,
  labels jsonb not null,
  created_at timestamptz not null,
  flush_at timestamptz not null,
  flushed_at timestamptz,
  notified_at timestamptz,
  notified jsonb not null default '{}',
  -- Steps of the escalation that were taken.
  escalated integer not null default 0,
  primary key (tenant_id, id),
  unique (tenant_id, route, group_key)
);
select vautn.isolate_tenants('alert_groups');
create index alert_groups_due on alert_groups (flush_at);

create table alert_group_members (
  tenant_id text not null,
  group_id uuid not null,
  alert_id uuid not null,
  primary key (tenant_id, group_id, alert_id),
  foreign key (tenant_id, group_id) references alert_groups (tenant_id, id) on delete cascade,
  foreign key (tenant_id, alert_id) references alerts (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('alert_group_members');
create index alert_group_members_by_alert on alert_group_members (tenant_id, alert_id);

create table alert_deliveries (
  tenant_id text not null,
  -- The same in every attempt: receivers tell repeats apart by it.
  id uuid not null,
  channel_id uuid not null,
  notification jsonb not null,
  status text not null check (status in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  last_status integer,
  last_error text,
  created_at timestamptz not null,
  delivered_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, channel_id) references alert_channels (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('alert_deliveries');
create index alert_deliveries_by_channel on alert_deliveries (tenant_id, channel_id, created_at desc, id desc);
create index alert_deliveries_due on alert_deliveries (next_attempt_at) where status = 'pending';
create index alert_deliveries_done on alert_deliveries (tenant_id, created_at) where status <> 'pending';

create function vautn.tenants_with_undispatched_alerts(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from alerts where undispatched limit 1000 $$;
create function vautn.tenants_with_due_alert_groups(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from alert_groups where flush_at <= moment limit 1000 $$;
create function vautn.tenants_with_due_alert_rules(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from alert_rules
     where enabled and next_evaluation_at <= moment limit 1000 $$;
create function vautn.tenants_with_due_notifications(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from alert_deliveries
     where status = 'pending' and next_attempt_at <= moment limit 1000 $$;
create function vautn.tenants_with_old_alerts(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from alerts
     where state = 'resolved' and resolved_at < moment limit 1000 $$;
revoke all on function vautn.tenants_with_undispatched_alerts, vautn.tenants_with_due_alert_groups,
  vautn.tenants_with_due_alert_rules, vautn.tenants_with_due_notifications,
  vautn.tenants_with_old_alerts from public;
grant execute on function vautn.tenants_with_undispatched_alerts, vautn.tenants_with_due_alert_groups,
  vautn.tenants_with_due_alert_rules, vautn.tenants_with_due_notifications,
  vautn.tenants_with_old_alerts to vautn_app;
