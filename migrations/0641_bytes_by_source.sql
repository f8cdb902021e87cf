-- Where the bytes of an update came from, as its device says; null where it says nothing.
alter table rollout_devices
  add column bytes_platform bigint,
  add column bytes_store bigint,
  add column bytes_cache bigint;

alter table rollout_counters
  add column bytes_platform bigint not null default 0,
  add column bytes_store bigint not null default 0,
  add column bytes_cache bigint not null default 0;
