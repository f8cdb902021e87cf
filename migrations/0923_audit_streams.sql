-- Where a tenant's audit log is sent on to, and how far it has been.
create table audit_streams (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  -- https://… for a webhook; syslog+tcp:// or syslog+tls://host:port
  url text not null,
  -- Of a webhook: what it is signed with.
  secret_sealed bytea,
  -- Of a syslog server with a certificate of its own authority.
  authority_pem text,
  -- The last entry that the receiver has taken.
  seq bigint not null default 0,
  attempts integer not null default 0,
  -- Claimed until, or tried again at.
  next_attempt_at timestamptz not null,
  last_error text,
  delivered_at timestamptz,
  created_at timestamptz not null,
  created_by text not null,
  primary key (tenant_id, id)
);
select vautn.isolate_tenants('audit_streams');

create function vautn.tenants_with_due_audit_streams(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct s.tenant_id from audit_streams s join audit_heads h using (tenant_id)
     where s.next_attempt_at <= moment and h.seq > s.seq limit 1000 $$;
revoke all on function vautn.tenants_with_due_audit_streams from public;
grant execute on function vautn.tenants_with_due_audit_streams to vautn_app;
