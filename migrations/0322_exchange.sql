-- What the gateway keeps for a tenant's applications: their sessions, messages that they tell one
-- another and that wait for one of them, and the last message of topics that retain it.
create sequence application_epochs;
grant usage on sequence application_epochs to vautn_app;

create table application_sessions (
  tenant_id text not null,
  -- Who it is (key or certificate), and the client identifier that it chose.
  client_key text not null,
  -- Rises with each connect: who holds a lower one has been taken over.
  epoch bigint not null,
  -- The process that holds the connection.
  holder text not null,
  resumed boolean not null,
  expiry_seconds bigint not null,
  -- When a session without a connection ends; null while there is one.
  expires_at timestamptz,
  state jsonb not null,
  armed_will jsonb,
  will jsonb,
  will_at timestamptz,
  primary key (tenant_id, client_key),
  foreign key (tenant_id) references tenants (id) on delete cascade
);
select vautn.isolate_tenants('application_sessions');
create index application_sessions_held on application_sessions (holder) where expires_at is null;
create index application_sessions_due on application_sessions (expires_at) where expires_at is not null;
create index application_sessions_wills on application_sessions (will_at) where will_at is not null;

create table application_messages (
  tenant_id text not null,
  client_key text not null,
  seq bigint generated always as identity,
  topic text not null,
  payload bytea not null,
  qos smallint not null check (qos between 1 and 2),
  retain boolean not null,
  properties json not null,
  -- Subscription identifiers of the client.
  identifiers integer[] not null,
  expires_at timestamptz,
  primary key (tenant_id, client_key, seq),
  foreign key (tenant_id, client_key) references application_sessions (tenant_id, client_key)
    on delete cascade
);
select vautn.isolate_tenants('application_messages');

create table application_retained (
  tenant_id text not null,
  topic text not null,
  payload bytea not null,
  qos smallint not null check (qos between 0 and 2),
  properties json not null,
  expires_at timestamptz,
  primary key (tenant_id, topic),
  foreign key (tenant_id) references tenants (id) on delete cascade
);
select vautn.isolate_tenants('application_retained');
create index application_retained_expiring on application_retained (expires_at)
  where expires_at is not null;

create function vautn.tenants_with_due_applications(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select tenant_id from application_sessions where expires_at <= moment
     union select tenant_id from application_sessions where will_at <= moment
     union select tenant_id from application_retained where expires_at <= moment
     limit 1000 $$;
create function vautn.tenants_with_applications_of(process text) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from application_sessions
     where holder = process and expires_at is null $$;
revoke all on function vautn.tenants_with_due_applications, vautn.tenants_with_applications_of
  from public;
grant execute on function vautn.tenants_with_due_applications, vautn.tenants_with_applications_of
  to vautn_app;
