-- Measured in docs/decisions/1032. What nobody reads is not made: statistics of every column, which the
-- engine keeps by default since 26.4 for planning joins and which each merge computes anew; and the slots
-- of wide rows that a layout does not use, of which a part notes the few that are not empty.
alter table telemetry modify setting auto_statistics_types = '';
alter table telemetry_texts modify setting auto_statistics_types = '';
alter table heartbeats modify setting auto_statistics_types = '';
alter table telemetry_wide
  modify setting auto_statistics_types = '', nullable_serialization_version = 'allow_sparse';
