-- What is stored and no longer referred to is collected: by hash over all tenants, since they share blobs.
create index artifacts_by_hash on artifacts (sha256);

create function vautn.referenced_blobs(hashes text[]) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select sha256 from artifacts where sha256 = any (hashes)
     union select sha256 from uploads where sha256 = any (hashes) $$;
revoke all on function vautn.referenced_blobs from public;
grant execute on function vautn.referenced_blobs to vautn_app;

create function vautn.known_uploads(ids uuid[]) returns setof uuid
  language sql stable security definer set search_path = public, pg_temp as
  $$ select id from uploads where id = any (ids) $$;
revoke all on function vautn.known_uploads from public;
grant execute on function vautn.known_uploads to vautn_app;

create function vautn.tenants_with_unused_artifacts(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct a.tenant_id from artifacts a
     where a.created_at <= moment
       and not exists (select from releases r
         where r.tenant_id = a.tenant_id and r.image_sha256 = a.sha256)
       and not exists (select from deltas d
         where d.tenant_id = a.tenant_id
           and a.sha256 in (d.artifact_sha256, d.target_sha256, d.source_sha256))
     limit 1000 $$;
revoke all on function vautn.tenants_with_unused_artifacts from public;
grant execute on function vautn.tenants_with_unused_artifacts to vautn_app;
