-- The newest point of each series, so that nobody looks for it among all of them. `newest` is the moment,
-- the sequence number and the value of the greatest moment: the same again, or an older one, changes
-- nothing. What the rollups have not seen yet is not here: readers add it from the points.
create table if not exists telemetry_latest (
  storage_class LowCardinality(String) default 'shared',
  tenant_id LowCardinality(String),
  device_id String codec(ZSTD(1)),
  metric LowCardinality(String),
  -- The moment of `newest` on its own, for what removes old rows.
  ts SimpleAggregateFunction(max, DateTime64(3, 'UTC')) codec(Delta, ZSTD(1)),
  newest SimpleAggregateFunction(max, Tuple(DateTime64(3, 'UTC'), UInt64, Float64)) codec(ZSTD(1))
)
engine = AggregatingMergeTree
-- The second part is the same for all: names of partitions have two.
partition by (storage_class, empty(tenant_id))
order by (tenant_id, device_id, metric)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

alter table telemetry_1m add column if not exists last_seq UInt64 default 0 codec(DoubleDelta, ZSTD(1));
