-- storage_class: 'shared', or a class of its own for a tenant that is kept physically apart. Never
-- partition by tenant: a thousand tenants would be a thousand parts for each insert.
-- All that is older than the product lies in one partition: a backlog of decades costs what a month does.
-- received_at is the engine's own time at the insert: what detectors follow.

create table if not exists telemetry (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  device_id String codec(ZSTD(1)),
  metric LowCardinality(String),
  ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  seq UInt64 codec(DoubleDelta, ZSTD(1)),
  value Float64 codec(ZSTD(1)),
  received_at DateTime64(3, 'UTC') default now64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  index telemetry_received received_at type minmax granularity 1
)
engine = ReplacingMergeTree(seq)
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime64('2026-01-01', 3, 'UTC'))))
order by (tenant_id, device_id, metric, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists heartbeats (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  device_id String codec(ZSTD(1)),
  ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  seq UInt64 codec(DoubleDelta, ZSTD(1)),
  boot_id String codec(ZSTD(1)),
  uptime_seconds Float64 codec(Gorilla, ZSTD(1)),
  firmware_version LowCardinality(String),
  firmware_sha256 LowCardinality(String),
  slot LowCardinality(String),
  received_at DateTime64(3, 'UTC') default now64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  index heartbeats_received received_at type minmax granularity 1
)
engine = ReplacingMergeTree
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime64('2026-01-01', 3, 'UTC'))))
order by (tenant_id, device_id, ts, seq)
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists device_events (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  device_id String codec(ZSTD(1)),
  ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  seq UInt64 codec(DoubleDelta, ZSTD(1)),
  type LowCardinality(String),
  boot_id String codec(ZSTD(1)),
  firmware_version LowCardinality(String),
  firmware_sha256 LowCardinality(String),
  message String codec(ZSTD(1)),
  trace_id String codec(ZSTD(1)),
  -- The whole event as JSON, as the device sent it.
  body String codec(ZSTD(1)),
  received_at DateTime64(3, 'UTC') default now64(3, 'UTC') codec(DoubleDelta, ZSTD(1))
)
engine = ReplacingMergeTree
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime64('2026-01-01', 3, 'UTC'))))
order by (tenant_id, device_id, ts, seq, type)
settings fsync_after_insert = 1, fsync_part_directory = 1;
