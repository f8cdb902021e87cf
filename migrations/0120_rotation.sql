-- What is needed to give a repeated request the same certificate again, and when a device has said
-- that it uses it.
alter table certificates add column certificate_der bytea;
alter table certificates add column confirmed_at timestamptz;

-- The last rotation of each device, as the platform saw it and the device reported it.
create table certificate_rotations (
  tenant_id text not null,
  device_id text not null,
  -- key, request, store, trial, switch, reconnect, confirm, done
  step text not null,
  -- null while nothing is wrong
  error_element text,
  error_message text,
  -- Steps that failed since the rotation began.
  failures integer not null default 0,
  -- of the new certificate, once there is one
  serial text,
  started_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (tenant_id, device_id),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('certificate_rotations');
create index failed_rotations on certificate_rotations (tenant_id, updated_at)
  where error_element is not null;
