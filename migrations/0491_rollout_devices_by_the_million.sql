-- A rollout of a million devices wrote a million row locks into the table of devices besides, one for
-- each reference. The rows go with their device all the same, by a trigger, and whoever removes a
-- device waits for who plans: a row is never written for a device that is going.
alter table rollout_devices drop constraint rollout_devices_tenant_id_device_id_fkey;

create function vautn.remove_rollout_devices() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
declare tenant text;
begin
  for tenant in select distinct tenant_id from gone order by 1 loop
    -- The same lock as planning takes, see plan-store.ts.
    perform pg_advisory_xact_lock_shared(hashtextextended('rollouts/' || tenant, 0));
  end loop;
  delete from rollout_devices d using gone g
  where d.tenant_id = g.tenant_id and d.device_id = g.id;
  return null;
end $$;
create trigger remove_rollout_devices after delete on devices
  referencing old table as gone for each statement execute function vautn.remove_rollout_devices();
