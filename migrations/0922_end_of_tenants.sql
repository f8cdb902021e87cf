-- The end of a tenant: when it falls due, and the proof that nothing is left.
alter table tenants add column deletes_at timestamptz;
create index tenants_by_deletion on tenants (deletes_at) where deletes_at is not null;

-- Of the platform itself: it outlives the tenant. `receipt` is a signed document.
create table tenant_deletions (
  tenant text primary key,
  deleted_at timestamptz not null,
  receipt jsonb not null
);
select vautn.isolate_platform('tenant_deletions');

-- Every table that holds rows of tenants, with its primary key; from the catalogue, so that a table
-- that comes later is exported and emptied too.
create function vautn.tenant_tables() returns table (name text, key_columns text[])
  language sql stable security definer set search_path = public, pg_temp as
  $$ select c.relname::text,
            array(select a.attname::text from pg_index i
                  cross join unnest(i.indkey) with ordinality as k (attnum, place)
                  join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                  where i.indrelid = c.oid and i.indisprimary order by k.place)
     from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
       and exists (select from pg_attribute t where t.attrelid = c.oid and t.attname = 'tenant_id'
                   and not t.attisdropped)
     order by 1 $$;
revoke all on function vautn.tenant_tables from public;
grant execute on function vautn.tenant_tables to vautn_app;

-- Rows of a tenant by table; those of 0 rows too.
create function vautn.count_tenant(target text) returns table (name text, row_count bigint)
  language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
  if not vautn.is_platform() then raise exception 'only the platform counts a tenant'; end if;
  for name in select t.name from vautn.tenant_tables() t loop
    execute format('select count(*) from %I where tenant_id = $1', name) into row_count using target;
    return next;
  end loop;
end $$;
revoke all on function vautn.count_tenant from public;
grant execute on function vautn.count_tenant to vautn_app;

-- Removes what the end of the tenant's row has left. The last place of its audit log stays, so that its
-- id is never used twice, and its authorities' public certificates, so that the root's revocation list
-- can name them. Refuses while there is a tenant of that name.
create function vautn.purge_tenant(target text) returns void
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  name text;
  remaining boolean := true;
begin
  if not vautn.is_platform() then raise exception 'only the platform purges a tenant'; end if;
  if exists (select from tenants where id = target) then
    raise exception 'tenant % is there still', target;
  end if;
  update sign_in_providers set role_mappings = (
    select coalesce(jsonb_agg(m), '[]') from jsonb_array_elements(role_mappings) m
    where m ->> 'tenantId' <> target)
  where role_mappings @> jsonb_build_array(jsonb_build_object('tenantId', target));
  -- Tables refer to one another, and deleting from one may note that in another.
  for pass in 1..10 loop
    exit when not remaining;
    remaining := false;
    for name in select t.name from vautn.tenant_tables() t
                where t.name not in ('audit_heads', 'certificate_authorities') loop
      begin
        execute format('delete from %I where tenant_id = $1', name) using target;
      exception when foreign_key_violation then
        remaining := true;
      end;
    end loop;
  end loop;
end $$;
revoke all on function vautn.purge_tenant from public;
grant execute on function vautn.purge_tenant to vautn_app;
