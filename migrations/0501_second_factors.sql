-- A secret of an authenticator app; it counts once a code of it was shown.
create table user_totp (
  user_id uuid primary key references users (id) on delete cascade,
  secret_sealed bytea not null,
  created_at timestamptz not null,
  confirmed_at timestamptz,
  -- The newest time step whose code was used: none of it or before is taken again (RFC 6238 §5.2).
  last_step bigint not null default 0
);
select vautn.isolate_platform('user_totp');

-- SHA-256 of codes with fifty bits each; each opens once.
create table recovery_codes (
  user_id uuid not null references users (id) on delete cascade,
  code_hash bytea not null,
  created_at timestamptz not null,
  used_at timestamptz,
  primary key (user_id, code_hash)
);
select vautn.isolate_platform('recovery_codes');

create table passkeys (
  -- The credential's id, as the authenticator has made it.
  credential_id bytea primary key check (length(credential_id) between 1 and 1023),
  id uuid not null unique,
  user_id uuid not null references users (id) on delete cascade,
  name text not null,
  public_key bytea not null,
  counter bigint not null,
  transports text[] not null,
  is_backed_up boolean not null,
  created_at timestamptz not null,
  last_used_at timestamptz
);
select vautn.isolate_platform('passkeys');
create index passkeys_by_user on passkeys (user_id);

-- Challenges that were answered: none is answered twice. Kept until they would have expired.
create table used_challenges (
  challenge_hash bytea primary key,
  expires_at timestamptz not null
);
select vautn.isolate_platform('used_challenges');
create index used_challenges_by_expiry on used_challenges (expires_at);

alter table users add column needs_second_factor boolean not null default false;
-- A session that may set up a second factor and nothing else.
alter table sessions add column must_enrol boolean not null default false;
