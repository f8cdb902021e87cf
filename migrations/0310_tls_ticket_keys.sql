-- Secrets of which the listeners' TLS ticket keys are made: one for each slot of time, the same for
-- every process and machine, so that a device resumes its session wherever it arrives.
create table tls_ticket_keys (
  -- Number of the slot since the epoch; its length is the code's.
  slot bigint primary key,
  -- 32 random bytes, sealed (AES-256-GCM) with the master key and bound to the slot.
  secret_sealed bytea not null,
  created_at timestamptz not null
);
select vautn.isolate_platform('tls_ticket_keys');
