-- What the platform computes from points: for each series and bucket of time one row, as FINAL had the
-- points when the bucket was last computed. Never a materialized view: that would count a redelivery.
-- A bucket is computed anew whenever a point of it comes in, however late; the greatest pass counts, so
-- every read is FINAL.

create table if not exists telemetry_1m (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  device_id String codec(ZSTD(1)),
  metric LowCardinality(String),
  -- The beginning of the minute.
  ts DateTime('UTC') codec(DoubleDelta, ZSTD(1)),
  count UInt64 codec(T64, ZSTD(1)),
  min Float64 codec(ZSTD(1)),
  max Float64 codec(ZSTD(1)),
  sum Float64 codec(ZSTD(1)),
  first Float64 codec(ZSTD(1)),
  last Float64 codec(ZSTD(1)),
  first_ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  last_ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  -- Merges with quantilesDDMerge(0.005, …): every quantile to 1.5 % of its value.
  sketch AggregateFunction(quantilesDD(0.005, 0.5), Float64) codec(ZSTD(1)),
  pass UInt64 codec(DoubleDelta, ZSTD(1)),
  index telemetry_1m_pass pass type minmax granularity 1
)
engine = ReplacingMergeTree(pass)
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime('2026-01-01 00:00:00', 'UTC'))))
order by (tenant_id, device_id, metric, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists telemetry_1h (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  device_id String codec(ZSTD(1)),
  metric LowCardinality(String),
  -- The beginning of the hour.
  ts DateTime('UTC') codec(DoubleDelta, ZSTD(1)),
  count UInt64 codec(T64, ZSTD(1)),
  min Float64 codec(ZSTD(1)),
  max Float64 codec(ZSTD(1)),
  sum Float64 codec(ZSTD(1)),
  first Float64 codec(ZSTD(1)),
  last Float64 codec(ZSTD(1)),
  first_ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  last_ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  -- Merges with quantilesDDMerge(0.005, …): every quantile to 1.5 % of its value.
  sketch AggregateFunction(quantilesDD(0.005, 0.5), Float64) codec(ZSTD(1)),
  pass UInt64 codec(DoubleDelta, ZSTD(1)),
  index telemetry_1h_pass pass type minmax granularity 1
)
engine = ReplacingMergeTree(pass)
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime('2026-01-01 00:00:00', 'UTC'))))
order by (tenant_id, device_id, metric, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists telemetry_1d (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  device_id String codec(ZSTD(1)),
  metric LowCardinality(String),
  -- The beginning of the day (UTC).
  ts DateTime('UTC') codec(DoubleDelta, ZSTD(1)),
  count UInt64 codec(T64, ZSTD(1)),
  min Float64 codec(ZSTD(1)),
  max Float64 codec(ZSTD(1)),
  sum Float64 codec(ZSTD(1)),
  first Float64 codec(ZSTD(1)),
  last Float64 codec(ZSTD(1)),
  first_ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  last_ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  -- Merges with quantilesDDMerge(0.005, …): every quantile to 1.5 % of its value.
  sketch AggregateFunction(quantilesDD(0.005, 0.5), Float64) codec(ZSTD(1)),
  pass UInt64 codec(DoubleDelta, ZSTD(1)),
  index telemetry_1d_pass pass type minmax granularity 1
)
engine = ReplacingMergeTree(pass)
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime('2026-01-01 00:00:00', 'UTC'))))
order by (tenant_id, device_id, metric, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1;

-- How far each level has come: '1m' by the received_at of the points that it has seen, the others by the
-- passes of the level below. Written after the buckets: a pass that was killed is made again.
create table if not exists rollup_progress (
  level LowCardinality(String),
  pass UInt64,
  received_until DateTime64(3, 'UTC'),
  source_pass UInt64
)
engine = ReplacingMergeTree(pass)
order by level
settings fsync_after_insert = 1, fsync_part_directory = 1;

-- Values that are words. One text a metric and moment, as in telemetry.
create table if not exists telemetry_texts (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  device_id String codec(ZSTD(1)),
  metric LowCardinality(String),
  ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  seq UInt64 codec(DoubleDelta, ZSTD(1)),
  text String codec(ZSTD(1)),
  received_at DateTime64(3, 'UTC') default now64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  index telemetry_texts_received received_at type minmax granularity 1
)
engine = ReplacingMergeTree(seq)
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime64('2026-01-01', 3, 'UTC'))))
order by (tenant_id, device_id, metric, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1;

-- Numbers of metrics that a product declares with their decimals: a row is all that a device measured at
-- one moment. `layout` names the slots, `temperature=2,humidity=1`: i1 holds hundredths of the first.
-- Later rows of the same moment fill the slots that are empty. Slots of a product are never given anew.
create table if not exists telemetry_wide (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  device_id String codec(ZSTD(1)),
  product LowCardinality(String),
  ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  seq UInt64 codec(DoubleDelta, ZSTD(1)),
  layout LowCardinality(String),
  i1 Nullable(Int64) codec(Delta, ZSTD(1)),
  i2 Nullable(Int64) codec(Delta, ZSTD(1)),
  i3 Nullable(Int64) codec(Delta, ZSTD(1)),
  i4 Nullable(Int64) codec(Delta, ZSTD(1)),
  i5 Nullable(Int64) codec(Delta, ZSTD(1)),
  i6 Nullable(Int64) codec(Delta, ZSTD(1)),
  i7 Nullable(Int64) codec(Delta, ZSTD(1)),
  i8 Nullable(Int64) codec(Delta, ZSTD(1)),
  i9 Nullable(Int64) codec(Delta, ZSTD(1)),
  i10 Nullable(Int64) codec(Delta, ZSTD(1)),
  i11 Nullable(Int64) codec(Delta, ZSTD(1)),
  i12 Nullable(Int64) codec(Delta, ZSTD(1)),
  i13 Nullable(Int64) codec(Delta, ZSTD(1)),
  i14 Nullable(Int64) codec(Delta, ZSTD(1)),
  i15 Nullable(Int64) codec(Delta, ZSTD(1)),
  i16 Nullable(Int64) codec(Delta, ZSTD(1)),
  i17 Nullable(Int64) codec(Delta, ZSTD(1)),
  i18 Nullable(Int64) codec(Delta, ZSTD(1)),
  i19 Nullable(Int64) codec(Delta, ZSTD(1)),
  i20 Nullable(Int64) codec(Delta, ZSTD(1)),
  i21 Nullable(Int64) codec(Delta, ZSTD(1)),
  i22 Nullable(Int64) codec(Delta, ZSTD(1)),
  i23 Nullable(Int64) codec(Delta, ZSTD(1)),
  i24 Nullable(Int64) codec(Delta, ZSTD(1)),
  i25 Nullable(Int64) codec(Delta, ZSTD(1)),
  i26 Nullable(Int64) codec(Delta, ZSTD(1)),
  i27 Nullable(Int64) codec(Delta, ZSTD(1)),
  i28 Nullable(Int64) codec(Delta, ZSTD(1)),
  i29 Nullable(Int64) codec(Delta, ZSTD(1)),
  i30 Nullable(Int64) codec(Delta, ZSTD(1)),
  i31 Nullable(Int64) codec(Delta, ZSTD(1)),
  i32 Nullable(Int64) codec(Delta, ZSTD(1)),
  received_at DateTime64(3, 'UTC') default now64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  index telemetry_wide_received received_at type minmax granularity 1
)
engine = CoalescingMergeTree
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime64('2026-01-01', 3, 'UTC'))))
order by (tenant_id, device_id, product, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1;
