-- What makes an artifact unused stands here and nowhere else.
create function vautn.artifact_is_unused(a artifacts) returns boolean
  language sql stable set search_path = public, pg_temp as
  $$ select not exists (select from releases r
         where r.tenant_id = a.tenant_id and r.image_sha256 = a.sha256)
       and not exists (select from release_files f
         where f.tenant_id = a.tenant_id and f.sha256 = a.sha256)
       and not exists (select from deltas d
         where d.tenant_id = a.tenant_id
           and a.sha256 in (d.artifact_sha256, d.target_sha256, d.source_sha256)) $$;

create or replace function vautn.tenants_with_unused_artifacts(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct a.tenant_id from artifacts a
     where a.created_at <= moment and vautn.artifact_is_unused(a)
     limit 1000 $$;
