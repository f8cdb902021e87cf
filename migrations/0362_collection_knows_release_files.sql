-- Files of a release beside its image (0351) are referred to by their own table, some by that alone.
create index release_files_by_hash on release_files (sha256);

create or replace function vautn.referenced_blobs(hashes text[]) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select sha256 from artifacts where sha256 = any (hashes)
     union select sha256 from uploads where sha256 = any (hashes)
     union select sha256 from release_files where sha256 = any (hashes) $$;

create or replace function vautn.tenants_with_unused_artifacts(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct a.tenant_id from artifacts a
     where a.created_at <= moment
       and not exists (select from releases r
         where r.tenant_id = a.tenant_id and r.image_sha256 = a.sha256)
       and not exists (select from release_files f
         where f.tenant_id = a.tenant_id and f.sha256 = a.sha256)
       and not exists (select from deltas d
         where d.tenant_id = a.tenant_id
           and a.sha256 in (d.artifact_sha256, d.target_sha256, d.source_sha256))
     limit 1000 $$;
