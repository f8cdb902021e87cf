-- What the devices of a product measure, as their maker declares it.
create table product_metrics (
  tenant_id text not null references tenants (id) on delete cascade,
  product text not null,
  name text not null,
  type text not null check (type in ('number', 'integer', 'boolean', 'string', 'position')),
  unit text not null default '',
  description text not null default '',
  minimum double precision,
  maximum double precision,
  -- Digits behind the point that its numbers have: those that have no more take little room.
  decimals smallint check (decimals between 0 and 9),
  declared_at timestamptz not null,
  primary key (tenant_id, product, name)
);
select vautn.isolate_tenants('product_metrics');

-- Columns of wide rows that a product's metrics have been given: never given anew, never taken back.
-- A point belongs there by its own time, so that a redelivery always finds the same place.
create table product_metric_slots (
  tenant_id text not null references tenants (id) on delete cascade,
  product text not null,
  slot smallint not null check (slot between 1 and 32),
  name text not null,
  decimals smallint not null,
  in_use_from timestamptz not null,
  primary key (tenant_id, product, slot)
);
select vautn.isolate_tenants('product_metric_slots');

-- How far a device's clock is behind ours, by its heartbeats; null before the first.
alter table device_states add column clock_offset_ms bigint;
