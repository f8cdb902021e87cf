-- Most rows of a rollout are written as pending, in the order of a hash: an index by device took a
-- page of its own for nearly each of them. Who waits is found by its rollout; by device and by update
-- only what has begun is looked for.
drop index rollout_devices_by_device;
create index rollout_devices_by_device on rollout_devices (tenant_id, device_id, offered_at desc)
  where state <> 'pending';
alter table rollout_devices drop constraint rollout_devices_tenant_id_update_id_key;
create unique index rollout_devices_by_update on rollout_devices (tenant_id, update_id)
  where state <> 'pending';

create or replace function vautn.remove_rollout_devices() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
declare tenant text;
begin
  for tenant in select distinct tenant_id from gone order by 1 loop
    -- The same lock as planning takes, see plan-store.ts.
    perform pg_advisory_xact_lock_shared(hashtextextended('rollouts/' || tenant, 0));
  end loop;
  delete from rollout_devices d using gone g
  where d.tenant_id = g.tenant_id and d.device_id = g.id and d.state <> 'pending';
  -- What waits has its primary key for this: a look into each rollout of the tenant.
  delete from rollout_devices d using gone g join rollouts r on r.tenant_id = g.tenant_id
  where d.tenant_id = g.tenant_id and d.rollout_id = r.id and d.device_id = g.id;
  return null;
end $$;
