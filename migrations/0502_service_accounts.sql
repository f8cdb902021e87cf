-- Programs elsewhere that prove who they are by a token of their own issuer (a CI system's), and get
-- a key that is soon over.
create table service_accounts (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  name text not null check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  issuer text not null,
  audience text not null,
  -- [{claim, value}]: each must hold
  conditions jsonb not null,
  role text not null,
  scopes text[] check (scopes is null or cardinality(scopes) between 1 and 64),
  lifetime_seconds integer not null check (lifetime_seconds between 60 and 3600),
  created_by text not null,
  created_at timestamptz not null,
  last_used_at timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
select vautn.isolate_tenants('service_accounts');

-- The keys of a service account end with it.
alter table api_keys add column service_account_id uuid;
alter table api_keys add foreign key (tenant_id, service_account_id)
  references service_accounts (tenant_id, id) on delete cascade;
create index api_keys_by_service_account on api_keys (tenant_id, service_account_id)
  where service_account_id is not null;
