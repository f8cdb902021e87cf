-- Settings of this installation: trust domain, sealed keys, names.
create table instance_settings (
  key text primary key,
  value jsonb not null,
  updated_at timestamptz not null
);
select vautn.isolate_platform('instance_settings');

create table tenants (
  id text primary key check (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  name text not null,
  status text not null default 'active' check (status in ('active', 'suspended')),
  -- heartbeatIntervalSeconds, certificateLifetimeDays, quotas ...
  settings jsonb not null default '{}',
  created_at timestamptz not null
);
alter table tenants enable row level security;
alter table tenants force row level security;
create policy own_tenant on tenants for select to vautn_app using (id = vautn.current_tenant());
create policy platform_rows on tenants to vautn_app
  using (vautn.is_platform()) with check (vautn.is_platform());
do $$ begin
  execute format('create policy owner_rows on tenants to %I using (true) with check (true)', current_user);
end $$;
grant select, insert, update, delete on tenants to vautn_app;

create table users (
  id uuid primary key,
  email text not null check (email = lower(email)),
  name text not null,
  -- argon2id in PHC string form
  password_hash text,
  platform_role text check (platform_role in ('platform-administrator')),
  created_at timestamptz not null,
  disabled_at timestamptz,
  unique (email)
);
select vautn.isolate_platform('users');

create table memberships (
  tenant_id text not null references tenants (id) on delete cascade,
  user_id uuid not null references users (id) on delete cascade,
  role text not null check (role in ('viewer', 'operator', 'fleet-engineer', 'administrator', 'auditor')),
  created_at timestamptz not null,
  primary key (tenant_id, user_id)
);
select vautn.isolate_tenants('memberships');
create policy platform_rows on memberships to vautn_app
  using (vautn.is_platform()) with check (vautn.is_platform());
create index memberships_by_user on memberships (user_id);

create table sessions (
  -- SHA-256 of the cookie's secret
  token_hash bytea primary key,
  user_id uuid not null references users (id) on delete cascade,
  created_at timestamptz not null,
  last_used_at timestamptz not null,
  expires_at timestamptz not null,
  revoked_at timestamptz,
  address text,
  user_agent text
);
select vautn.isolate_platform('sessions');
create index sessions_by_user on sessions (user_id);

-- Keys that act as a person, with that person's roles in every tenant.
create table personal_keys (
  id uuid primary key,
  user_id uuid not null references users (id) on delete cascade,
  name text not null,
  key_hash bytea not null unique,
  created_at timestamptz not null,
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz
);
select vautn.isolate_platform('personal_keys');
create index personal_keys_by_user on personal_keys (user_id);

-- Keys of a tenant, with a role of their own.
create table api_keys (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  name text not null,
  role text not null check (role in ('viewer', 'operator', 'fleet-engineer', 'administrator', 'auditor')),
  key_hash bytea not null unique,
  created_by text not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  primary key (tenant_id, id)
);
select vautn.isolate_tenants('api_keys');
create policy platform_reads on api_keys for select to vautn_app using (vautn.is_platform());

-- Append-only, hash-chained per tenant; what the platform does itself is under '_platform', which
-- is no valid tenant id.
create table audit_entries (
  tenant_id text not null,
  seq bigint not null,
  at timestamptz not null,
  actor_kind text not null,
  actor_id text not null,
  actor_name text not null,
  action text not null,
  target_kind text not null,
  target_id text not null,
  outcome text not null check (outcome in ('done', 'refused')),
  address text,
  trace_id text,
  details jsonb not null,
  previous_hash bytea not null,
  hash bytea not null,
  primary key (tenant_id, seq)
);
select vautn.isolate_tenants('audit_entries');
revoke update, delete on audit_entries from vautn_app;
-- The platform records what it does to a tenant in that tenant's own chain.
create policy platform_rows on audit_entries to vautn_app
  using (vautn.is_platform()) with check (vautn.is_platform());
create index audit_entries_by_time on audit_entries (tenant_id, at desc);

-- The last entry of each chain. Its row lock keeps a chain linear, and it tells when entries were
-- cut from the end. It outlives the tenant, so that an id is never used twice.
create table audit_heads (
  tenant_id text primary key,
  seq bigint not null,
  hash bytea not null
);
select vautn.isolate_tenants('audit_heads');
revoke delete on audit_heads from vautn_app;
create policy platform_rows on audit_heads to vautn_app
  using (vautn.is_platform()) with check (vautn.is_platform());

create table idempotency_keys (
  tenant_id text not null,
  key text not null,
  request_hash bytea not null,
  status integer not null,
  response jsonb,
  created_at timestamptz not null,
  primary key (tenant_id, key)
);
select vautn.isolate_tenants('idempotency_keys');
