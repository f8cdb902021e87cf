-- How long a tenant keeps the points and the rollups of some metrics, where it is not as long as of all
-- others. The first rule whose pattern fits a metric counts.
create table telemetry_retention_rules (
  tenant_id text not null references tenants (id) on delete cascade,
  position smallint not null check (position between 1 and 50),
  pattern text not null check (length(pattern) between 1 and 128),
  point_days integer not null check (point_days between 1 and 3650),
  minute_days integer not null check (minute_days >= point_days),
  hour_days integer not null check (hour_days >= minute_days),
  day_days integer not null check (day_days >= hour_days),
  primary key (tenant_id, position),
  unique (tenant_id, pattern)
);
select vautn.isolate_tenants('telemetry_retention_rules');
