-- Rollups ordered by what charts of a fleet read: one metric, a stretch of time, all devices in it. By device
-- first, one metric's six hours lay strewn over everything that is kept. A table `…_next` with this comment
-- takes the rows and the name of the one without (src/timeseries/taking-over.ts, docs/decisions/1034).

create table if not exists telemetry_1m_next as telemetry_1m
engine = ReplacingMergeTree(pass)
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime('2026-01-01 00:00:00', 'UTC'))))
order by (tenant_id, metric, toStartOfInterval(ts, interval 6 hour), device_id, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1
comment 'takes over';

create table if not exists telemetry_1h_next as telemetry_1h
engine = ReplacingMergeTree(pass)
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime('2026-01-01 00:00:00', 'UTC'))))
order by (tenant_id, metric, toMonday(ts), device_id, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1
comment 'takes over';

-- A partition is a month: there are no more than 31 rows of a device in a row.
create table if not exists telemetry_1d_next as telemetry_1d
engine = ReplacingMergeTree(pass)
partition by (storage_class, toYYYYMM(greatest(ts, toDateTime('2026-01-01 00:00:00', 'UTC'))))
order by (tenant_id, metric, device_id, ts)
settings fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1
comment 'takes over';
