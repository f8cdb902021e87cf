-- Root metadata versions (protocol RootMetadata in an envelope).
create table trust_roots (
  tenant_id text not null references tenants (id) on delete cascade,
  version integer not null check (version > 0),
  envelope jsonb not null,
  created_at timestamptz not null,
  primary key (tenant_id, version)
);
select vautn.isolate_tenants('trust_roots');

-- The online key that signs assignments.
create table director_keys (
  tenant_id text not null references tenants (id) on delete cascade,
  key_id text not null,
  public_key jsonb not null,
  private_key_sealed bytea not null,
  created_at timestamptz not null,
  primary key (tenant_id, key_id)
);
select vautn.isolate_tenants('director_keys');

-- A tenant may read a blob when, and only when, a row here says so.
create table artifacts (
  tenant_id text not null references tenants (id) on delete cascade,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  size_bytes bigint not null,
  kind text not null check (kind in ('image', 'full-zstd', 'patch')),
  created_at timestamptz not null,
  primary key (tenant_id, sha256)
);
select vautn.isolate_tenants('artifacts');

create table releases (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  product text not null,
  version text not null,
  hardware_revisions text[] not null,
  minimum_source_version text,
  security_counter integer not null,
  image_sha256 text not null,
  image_size_bytes bigint not null,
  image_name text not null,
  -- Envelope of the ReleaseManifest, as it was signed.
  envelope jsonb not null,
  status text not null check (status in ('published', 'yanked')),
  yank_reason text,
  notes text not null default '',
  published_at timestamptz not null,
  published_by text not null,
  primary key (tenant_id, id),
  unique (tenant_id, product, version),
  foreign key (tenant_id, image_sha256) references artifacts (tenant_id, sha256)
);
select vautn.isolate_tenants('releases');
create index releases_by_image on releases (tenant_id, image_sha256);

-- One row for each (source, target, format); source '' stands for the full image.
create table deltas (
  tenant_id text not null references tenants (id) on delete cascade,
  source_sha256 text not null,
  target_sha256 text not null,
  format text not null check (format in ('full-zstd', 'zstd-patch')),
  status text not null check (status in ('queued', 'building', 'ready', 'failed')),
  artifact_sha256 text,
  size_bytes bigint,
  target_size_bytes bigint,
  build_ms integer,
  error text,
  attempts integer not null default 0,
  -- While building: the builder lives as long as it keeps this in the future.
  lease_expires_at timestamptz,
  created_at timestamptz not null,
  finished_at timestamptz,
  primary key (tenant_id, target_sha256, source_sha256, format),
  foreign key (tenant_id, target_sha256) references artifacts (tenant_id, sha256),
  foreign key (tenant_id, artifact_sha256) references artifacts (tenant_id, sha256)
);
select vautn.isolate_tenants('deltas');
create index deltas_open on deltas (status, created_at) where status in ('queued', 'building');

create function vautn.tenants_with_open_deltas() returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from deltas where status in ('queued', 'building') limit 1000 $$;
revoke all on function vautn.tenants_with_open_deltas from public;
grant execute on function vautn.tenants_with_open_deltas to vautn_app;
