-- Measured in docs/decisions/1022. Wide rows: of a difference only the bits that change. Narrow rows: the
-- metrics of one message have the same times, a series apart: a block of 1 MiB sees them, one of 64 KiB
-- does not; device ids are words, as in wide rows.
alter table telemetry
  modify column device_id LowCardinality(String),
  modify column ts codec(Delta, ZSTD(1));
alter table telemetry modify column ts
  modify setting min_compress_block_size = 1048576, max_compress_block_size = 1048576;

alter table telemetry_wide
  modify column i1 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i2 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i3 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i4 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i5 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i6 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i7 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i8 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i9 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i10 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i11 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i12 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i13 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i14 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i15 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i16 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i17 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i18 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i19 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i20 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i21 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i22 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i23 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i24 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i25 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i26 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i27 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i28 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i29 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i30 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i31 codec(Delta, T64('bit'), ZSTD(1)),
  modify column i32 codec(Delta, T64('bit'), ZSTD(1));
