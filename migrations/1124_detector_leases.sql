-- Workers that run the detectors, and which of them follows which tenant, until when.
create table detector_workers (
  name text primary key,
  seen_at timestamptz not null
);
select vautn.isolate_platform('detector_workers');

create table detector_leases (
  tenant_id text primary key references tenants (id) on delete cascade,
  holder text not null,
  until timestamptz not null
);
select vautn.isolate_platform('detector_leases');
