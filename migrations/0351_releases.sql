-- Which of two keys is the newer must not hang on a clock's resolution.
alter table online_keys add column ordinal bigint generated always as identity;

-- A release begins in one channel and is promoted towards stable; those of before are stable.
alter table releases add column channel text not null default 'stable'
  check (channel in ('dev', 'beta', 'stable'));
alter table releases alter column channel drop default;
create index releases_by_channel on releases (tenant_id, channel, id);

-- Files of a release beside its image, and what was read from its documents.
create table release_files (
  tenant_id text not null,
  release_id uuid not null,
  role text not null check (role in ('component', 'sbom', 'provenance')),
  -- Of a component; '' of a document.
  component text not null,
  name text not null,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  size_bytes bigint not null,
  summary jsonb,
  primary key (tenant_id, release_id, role, component),
  foreign key (tenant_id, release_id) references releases (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('release_files');
