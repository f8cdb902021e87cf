-- Rollups of all devices of a tenant together: of each metric and bucket one row, made of the devices' own
-- rollups of the same width. The greatest pass counts, as there. No device has a row here: who may see
-- some devices only is never answered from these.

create table if not exists telemetry_fleet_1m (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  metric LowCardinality(String),
  -- The beginning of the minute.
  ts DateTime('UTC') codec(DoubleDelta, ZSTD(1)),
  count UInt64 codec(T64, ZSTD(1)),
  min Float64 codec(ZSTD(1)),
  max Float64 codec(ZSTD(1)),
  sum Float64 codec(ZSTD(1)),
  last Float64 codec(ZSTD(1)),
  last_ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  sketch AggregateFunction(quantilesDD(0.005, 0.5), Float64) codec(ZSTD(1)),
  pass UInt64 codec(DoubleDelta, ZSTD(1))
)
engine = ReplacingMergeTree(pass)
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime('2026-01-01 00:00:00', 'UTC'))))
order by (tenant_id, metric, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

create table if not exists telemetry_fleet_1h (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  metric LowCardinality(String),
  -- The beginning of the hour.
  ts DateTime('UTC') codec(DoubleDelta, ZSTD(1)),
  count UInt64 codec(T64, ZSTD(1)),
  min Float64 codec(ZSTD(1)),
  max Float64 codec(ZSTD(1)),
  sum Float64 codec(ZSTD(1)),
  last Float64 codec(ZSTD(1)),
  last_ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  sketch AggregateFunction(quantilesDD(0.005, 0.5), Float64) codec(ZSTD(1)),
  pass UInt64 codec(DoubleDelta, ZSTD(1))
)
engine = ReplacingMergeTree(pass)
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime('2026-01-01 00:00:00', 'UTC'))))
order by (tenant_id, metric, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

create table if not exists telemetry_fleet_1d (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  metric LowCardinality(String),
  -- The beginning of the day (UTC).
  ts DateTime('UTC') codec(DoubleDelta, ZSTD(1)),
  count UInt64 codec(T64, ZSTD(1)),
  min Float64 codec(ZSTD(1)),
  max Float64 codec(ZSTD(1)),
  sum Float64 codec(ZSTD(1)),
  last Float64 codec(ZSTD(1)),
  last_ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  sketch AggregateFunction(quantilesDD(0.005, 0.5), Float64) codec(ZSTD(1)),
  pass UInt64 codec(DoubleDelta, ZSTD(1))
)
engine = ReplacingMergeTree(pass)
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime('2026-01-01 00:00:00', 'UTC'))))
order by (tenant_id, metric, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
