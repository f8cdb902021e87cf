-- Merges are synced, too (docs/decisions/1003): the embedded engine removes what a merge has taken
-- together at once, so that a power cut would have cost rows that inserts had synced and devices had
-- been acknowledged. Spans are a picture and no fact.
alter table telemetry modify setting min_rows_to_fsync_after_merge = 1;
alter table heartbeats modify setting min_rows_to_fsync_after_merge = 1;
alter table device_events modify setting min_rows_to_fsync_after_merge = 1;
alter table logs modify setting min_rows_to_fsync_after_merge = 1;
alter table telemetry_texts modify setting min_rows_to_fsync_after_merge = 1;
alter table telemetry_wide modify setting min_rows_to_fsync_after_merge = 1;
alter table telemetry_1m modify setting min_rows_to_fsync_after_merge = 1;
alter table telemetry_1h modify setting min_rows_to_fsync_after_merge = 1;
alter table telemetry_1d modify setting min_rows_to_fsync_after_merge = 1;
alter table rollup_progress modify setting min_rows_to_fsync_after_merge = 1;
