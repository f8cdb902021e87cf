-- The parameter had the name of a column, which won: nothing was ever found.
create or replace function vautn.registered_authorities_named(subject text)
  returns table (tenant_id text, id uuid)
  language sql stable security definer set search_path = public, pg_temp as
  $$ select authority.tenant_id, authority.id from registered_authorities as authority
     where authority.subject_sha256 = $1 and authority.status = 'active'
     order by authority.proved_at limit 20 $$;
