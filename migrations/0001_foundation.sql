-- Tenant isolation in the database. The application connects as vautn_app, which owns nothing:
-- row-level security is forced on every table, and a policy lets it see exactly the rows of the
-- tenant that the transaction names (or the platform's own rows in a platform transaction).

create schema if not exists vautn;

-- The tenant of the current transaction; null outside one, and null equals nothing.
create function vautn.current_tenant() returns text
  language sql stable parallel safe
  return nullif(current_setting('vautn.tenant', true), '');

create function vautn.is_platform() returns boolean
  language sql stable parallel safe
  return coalesce(current_setting('vautn.scope', true), '') = 'platform';

-- Call once for each table that has a tenant_id.
create function vautn.isolate_tenants(target regclass) returns void
  language plpgsql as $$
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  execute format('create policy tenant_rows on %s to vautn_app
    using (tenant_id = vautn.current_tenant())
    with check (tenant_id = vautn.current_tenant())', target);
  execute format('create policy owner_rows on %s to %I using (true) with check (true)',
    target, current_user);
  execute format('grant select, insert, update, delete on %s to vautn_app', target);
end $$;

-- Call once for each table of the platform itself.
create function vautn.isolate_platform(target regclass) returns void
  language plpgsql as $$
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  execute format('create policy platform_rows on %s to vautn_app
    using (vautn.is_platform()) with check (vautn.is_platform())', target);
  execute format('create policy owner_rows on %s to %I using (true) with check (true)',
    target, current_user);
  execute format('grant select, insert, update, delete on %s to vautn_app', target);
end $$;

grant usage on schema vautn to vautn_app;
grant execute on function vautn.current_tenant(), vautn.is_platform() to vautn_app;
