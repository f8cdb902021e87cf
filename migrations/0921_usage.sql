-- What a tenant has used of each quota on a day (UTC): sums of what flows, peaks of what stands at a
-- moment. Every process adds its own share every few seconds.
create table tenant_usage (
  tenant_id text not null references tenants (id) on delete cascade,
  -- In UTC, as ISO 8601 writes it.
  day text not null check (day ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'),
  quota text not null,
  amount bigint not null check (amount >= 0),
  -- In percent, of what the tenant has been told that day: 0, 80 or 100.
  warned smallint not null default 0,
  primary key (tenant_id, day, quota)
);
select vautn.isolate_tenants('tenant_usage');
