-- What was added to the time that a device with a wrong clock gave: ts - shift_ms is what it said.
alter table telemetry add column if not exists shift_ms Int64 default 0 codec(ZSTD(1));
alter table telemetry_texts add column if not exists shift_ms Int64 default 0 codec(ZSTD(1));
