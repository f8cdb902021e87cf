-- Patches in our own format, in two coders.
alter table deltas drop constraint deltas_format_check;
alter table deltas add constraint deltas_format_check
  check (format in ('full-zstd', 'zstd-patch', 'vdelta-fast', 'vdelta-small'));
