-- Blobs of a tenant may lie in a place of its own (storage class `separate`). What such a tenant has is no
-- reason to keep what others share, except while its blobs are on their way in or out: then both places count.
create function vautn.shared_blobs(hashes text[], left_out text) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select o.sha256 from (
       select tenant_id, sha256 from artifacts where sha256 = any (hashes)
       union select tenant_id, sha256 from uploads where sha256 = any (hashes)
       union select tenant_id, sha256 from release_files where sha256 = any (hashes)) o
     left join tenants t on t.id = o.tenant_id
     where o.tenant_id <> left_out
       and not (coalesce(t.storage_class, 'shared') = 'separate' and t.storage_move is null) $$;
revoke all on function vautn.shared_blobs from public;
grant execute on function vautn.shared_blobs to vautn_app;

-- Whose place ought to have the blob: what lies with the others' from before, or was put there by a process that
-- had not heard of the class, is brought there before it goes.
create function vautn.separate_owners(hash text) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select t.id from tenants t where t.storage_class = 'separate'
     and (exists (select from artifacts a where a.tenant_id = t.id and a.sha256 = hash)
       or exists (select from uploads u where u.tenant_id = t.id and u.sha256 = hash)
       or exists (select from release_files f where f.tenant_id = t.id and f.sha256 = hash)) $$;
revoke all on function vautn.separate_owners from public;
grant execute on function vautn.separate_owners to vautn_app;
