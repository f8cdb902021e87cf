-- Server certificates from another authority by ACME (RFC 8555): one row for each set of names.
create table acme_accounts (
  directory_url text not null,
  -- The external account that it is bound to; empty where the authority wants none.
  external_key_id text not null,
  key_sealed bytea not null,
  -- Null until the authority has answered.
  account_url text,
  created_at timestamptz not null,
  primary key (directory_url, external_key_id)
);
select vautn.isolate_platform('acme_accounts');

create table acme_certificates (
  directory_url text not null,
  -- Host names, sorted, joined by commas.
  names text not null,
  certificate_pem text,
  private_key_sealed bytea,
  not_before timestamptz,
  not_after timestamptz,
  -- Since the last success.
  failures integer not null default 0,
  last_step text,
  last_error text,
  attempted_at timestamptz,
  next_attempt_at timestamptz not null,
  -- The process that orders has until then; who finds it over may order.
  leased_until timestamptz,
  primary key (directory_url, names)
);
select vautn.isolate_platform('acme_certificates');

-- What the authority is told when it asks (§8.3); any process may be asked.
create table acme_challenges (
  token text primary key,
  key_authorization text not null,
  expires_at timestamptz not null
);
select vautn.isolate_platform('acme_challenges');
