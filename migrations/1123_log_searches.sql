-- Searches of log lines that people of the tenant make again and again, under a name that says what for.
create table log_searches (
  tenant_id text not null references tenants (id) on delete cascade,
  name text not null check (length(name) between 1 and 128),
  filter jsonb not null,
  updated_at timestamptz not null,
  updated_by text not null,
  primary key (tenant_id, name)
);
select vautn.isolate_tenants('log_searches');
