-- What a device found about its own start, as it told in a heartbeat of its present boot.
alter table device_states
  add column boot_chain jsonb,
  add column secure_boot boolean generated always as (
    coalesce((boot_chain ->> 'secureBoot')::boolean
             and not (boot_chain ->> 'setupMode')::boolean, false)) stored;
