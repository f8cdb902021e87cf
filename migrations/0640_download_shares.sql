-- What each process that serves devices may use of the downloads and of the bytes a second of a tenant
-- or of a rollout, until when.
create table download_shares (
  tenant_id text not null references tenants (id) on delete cascade,
  -- Empty for what the tenant has altogether.
  rollout_id text not null,
  process text not null,
  wanted integer not null,
  active integer not null,
  places integer not null,
  bytes_per_second bigint not null,
  until timestamptz not null,
  primary key (tenant_id, rollout_id, process)
);
select vautn.isolate_platform('download_shares');
