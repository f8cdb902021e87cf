-- Sorted by time within the tenant: the newest lines, of whatever kind, are the end of the table.
create table if not exists logs (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  ts DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  -- Empty for lines of the platform itself.
  device_id String codec(ZSTD(1)),
  seq UInt64 codec(DoubleDelta, ZSTD(1)),
  -- OpenTelemetry's severity number (logs data model): 1 trace, 5 debug, 9 info, 13 warn, 17 error, 21 fatal.
  severity UInt8,
  logger LowCardinality(String),
  message String codec(ZSTD(1)),
  trace_id String codec(ZSTD(1)),
  span_id String codec(ZSTD(1)),
  -- JSON object.
  attributes String codec(ZSTD(1)),
  received_at DateTime64(3, 'UTC') default now64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
  index logs_words message type text(tokenizer = splitByNonAlpha, preprocessor = lowerUTF8(message)),
  index logs_received received_at type minmax granularity 1,
  index logs_trace trace_id type bloom_filter(0.01) granularity 1,
  index logs_device device_id type bloom_filter(0.01) granularity 1
)
engine = ReplacingMergeTree
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime64('2026-01-01', 3, 'UTC'))))
order by (tenant_id, ts, device_id, seq)
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists spans (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  trace_id String codec(ZSTD(1)),
  span_id String codec(ZSTD(1)),
  parent_span_id String codec(ZSTD(1)),
  name LowCardinality(String),
  service LowCardinality(String),
  started_at DateTime64(6, 'UTC') codec(Delta, ZSTD(1)),
  duration_us UInt64 codec(T64, ZSTD(1)),
  -- OpenTelemetry's status code: 0 unset, 1 ok, 2 error.
  status UInt8,
  status_message String codec(ZSTD(1)),
  -- JSON object.
  attributes String codec(ZSTD(1))
)
engine = ReplacingMergeTree
partition by (storage_class, toYYYYMM(greatest(started_at, toDateTime64('2026-01-01', 6, 'UTC'))))
order by (tenant_id, trace_id, span_id)
settings fsync_after_insert = 0;
