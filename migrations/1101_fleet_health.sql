-- What crashes of one cause have in common (src/devices/crash-signature.ts); null for what is no crash.
alter table device_incidents add column signature text;
create index device_incidents_by_signature on device_incidents (tenant_id, occurred_at)
  where signature is not null;
update device_incidents set signature = kind where kind in ('crash', 'fallback', 'self-test-failed');

-- How a tenant's fleet fared, every few minutes, in as many parts as differ.
create table fleet_history (
  tenant_id text not null references tenants (id) on delete cascade,
  at timestamptz not null,
  firmware text not null,
  hardware text not null,
  product text not null,
  region text not null,
  total integer not null,
  online integer not null,
  healthy integer not null,
  degraded integer not null,
  failing integer not null,
  offline integer not null,
  primary key (tenant_id, at, firmware, hardware, product, region)
);
select vautn.isolate_tenants('fleet_history');

-- Tenants with devices whose last look at the fleet is older than `moment`.
create function vautn.tenants_with_stale_history(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select t.id from tenants t
     where exists (select 1 from devices d where d.tenant_id = t.id)
       and not exists (select 1 from fleet_history h where h.tenant_id = t.id and h.at > moment)
     limit 1000 $$;
revoke all on function vautn.tenants_with_stale_history from public;
grant execute on function vautn.tenants_with_stale_history to vautn_app;
