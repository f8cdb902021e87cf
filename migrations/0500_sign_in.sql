-- Who else may say who somebody is: OpenID providers, named by the platform's administrators.
create table sign_in_providers (
  id text primary key check (id ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
  name text not null,
  issuer text not null,
  client_id text not null,
  -- null: a public client, which proves itself by PKCE alone
  client_secret_sealed bytea,
  scopes text[] not null check (cardinality(scopes) between 1 and 20),
  -- Whether a verified e-mail address leads to the user who has it.
  links_by_email boolean not null,
  -- Whether somebody new becomes a user, where a mapping gives them a role.
  creates_users boolean not null,
  -- E-mail addresses that count; all where empty.
  email_domains text[] not null default '{}' check (cardinality(email_domains) <= 50),
  -- [{claim, value, tenantId, role}], at most 100
  role_mappings jsonb not null default '[]',
  enabled boolean not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
select vautn.isolate_platform('sign_in_providers');

-- The subject at a provider that a user is.
create table user_identities (
  provider_id text not null references sign_in_providers (id) on delete cascade,
  subject text not null check (length(subject) between 1 and 255),
  user_id uuid not null references users (id) on delete cascade,
  email text,
  created_at timestamptz not null,
  last_used_at timestamptz,
  primary key (provider_id, subject),
  -- An address that was given to somebody new does not lead to the user of its former owner.
  unique (provider_id, user_id)
);
select vautn.isolate_platform('user_identities');
create index user_identities_by_user on user_identities (user_id);

-- Set where a provider's mapping has made the membership: that mapping takes it away again.
alter table memberships add column granted_by text
  references sign_in_providers (id) on delete cascade;

-- A session keeps its id while its token is replaced.
alter table sessions drop constraint sessions_pkey;
alter table sessions add column id uuid primary key default gen_random_uuid();
alter table sessions add unique (token_hash);
alter table sessions add column method text not null default 'password';
alter table sessions add column provider_id text
  references sign_in_providers (id) on delete cascade;
-- What the provider asks for when the person signs out there.
alter table sessions add column id_token_sealed bytea;
-- When the person last proved who they are.
alter table sessions add column authenticated_at timestamptz;
alter table sessions add column rotate_after timestamptz;
-- The successor that was handed out and not seen yet, and the token before this one.
alter table sessions add column next_hash bytea unique;
alter table sessions add column next_at timestamptz;
alter table sessions add column previous_hash bytea unique;
alter table sessions add column previous_until timestamptz;
update sessions set authenticated_at = created_at, rotate_after = created_at + interval '1 hour';
alter table sessions alter column authenticated_at set not null;
alter table sessions alter column rotate_after set not null;
