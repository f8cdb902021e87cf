-- What each device ought to be and what it says that it is: two JSON documents with versions.
create table twins (
  tenant_id text not null,
  device_id text not null,
  desired jsonb not null default '{}',
  desired_version bigint not null default 0,
  -- RFC 7396, from the version before to this one; null where the device needs the whole document.
  last_patch jsonb,
  desired_at timestamptz,
  desired_by text,
  reported jsonb not null default '{}',
  reported_version bigint not null default 0,
  reported_at timestamptz,
  -- The newest desired version that the device holds, and the one that it lives by.
  held_version bigint not null default 0,
  applied_version bigint not null default 0,
  -- {"version", "message"}: what it was asked for and could not do.
  fault jsonb,
  primary key (tenant_id, device_id),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('twins');
-- Devices that are not yet what they ought to be, for lists.
create index twins_behind on twins (tenant_id, device_id) where applied_version <> desired_version;
