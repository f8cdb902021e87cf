-- A rollout's devices in their order: those that wait and those that have begun each have an index of
-- their own, so that a million rows that are written as waiting are put into one of them and not into two.
drop index rollout_devices_of_rollout;
create index rollout_devices_begun on rollout_devices (tenant_id, rollout_id, stage_index, ordinal)
  where state <> 'pending';
