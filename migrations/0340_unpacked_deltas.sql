-- Deltas between the unpacked forms of two images. Where they can gain nothing, none is made.
alter table deltas drop constraint deltas_format_check;
alter table deltas add constraint deltas_format_check
  check (format in ('full-zstd', 'zstd-patch', 'vdelta-fast', 'vdelta-small', 'unpacked-fast',
    'unpacked-small'));
alter table deltas drop constraint deltas_status_check;
alter table deltas add constraint deltas_status_check
  check (status in ('queued', 'building', 'ready', 'failed', 'skipped'));
-- A library and its version that a device must announce besides the format.
alter table deltas add column requires text;
-- What was unpacked: streams by codec, sizes of the forms.
alter table deltas add column unpacked jsonb;
