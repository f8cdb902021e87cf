-- Wills outlive their gateway: that of a live connection is on record from its CONNECT.
alter table mqtt_sessions add column armed_will jsonb;
-- What a gateway holds, or held when it died.
create index mqtt_sessions_held on mqtt_sessions (gateway_id)
  where armed_will is not null or (expires_at is null and expiry_seconds > 0);

-- Gateways that live: each says so every few seconds. Whose word is old has died, and the others
-- see to the sessions that it held.
create table mqtt_gateways (
  gateway_id text primary key,
  seen_at timestamptz not null
);
select vautn.isolate_platform('mqtt_gateways');

create function vautn.tenants_with_sessions_of(gateway text) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from mqtt_sessions
     where gateway_id = gateway
       and (armed_will is not null or (expires_at is null and expiry_seconds > 0)) $$;
revoke all on function vautn.tenants_with_sessions_of from public;
grant execute on function vautn.tenants_with_sessions_of to vautn_app;
