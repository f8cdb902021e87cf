-- What bills of materials list, one row a component: so that "which releases contain it, and in
-- which version" is one look into an index, and not a reading of every document.
create table release_components (
  tenant_id text not null,
  release_id uuid not null,
  -- In the document's order, from 0.
  position integer not null,
  name text not null,
  version text,
  -- Sorts byte by byte as versions do; null where the version says nothing.
  version_key text collate "C",
  license text,
  purl text,
  -- The purl without version, qualifiers and subpath.
  purl_name text,
  primary key (tenant_id, release_id, position),
  foreign key (tenant_id, release_id) references releases (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('release_components');
create index release_components_by_name
  on release_components (tenant_id, lower(name) text_pattern_ops, version_key);
create index release_components_by_purl
  on release_components (tenant_id, lower(purl_name) text_pattern_ops, version_key)
  where purl_name is not null;

-- Documents of before are read when somebody asks for the first time.
alter table release_files add column components_listed boolean not null default false;
create index release_files_unlisted on release_files (tenant_id, release_id)
  where role = 'sbom' and not components_listed;
