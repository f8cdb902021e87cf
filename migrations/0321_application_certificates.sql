-- Certificates by which a tenant's applications (not devices) connect, each with a role. The
-- certificate itself is not kept: what is asked of it is whether it is still good.
create table application_certificates (
  tenant_id text not null,
  serial text not null,
  -- Of the application; several certificates may carry it, while one takes over from another.
  name text not null,
  role text not null check (role in
    ('viewer', 'operator', 'fleet-engineer', 'administrator', 'auditor')),
  ca_id uuid not null,
  status text not null check (status in ('active', 'revoked')),
  fingerprint text not null,
  public_key_sha256 text not null,
  not_before timestamptz not null,
  not_after timestamptz not null,
  issued_at timestamptz not null,
  issued_by text not null,
  last_used_at timestamptz,
  revoked_at timestamptz,
  revocation_reason text,
  -- RFC 5280 §5.3.1, for lists and answers.
  revocation_code smallint,
  primary key (tenant_id, serial),
  foreign key (tenant_id) references tenants (id) on delete cascade
);
select vautn.isolate_tenants('application_certificates');
create index application_certificates_by_time on application_certificates (tenant_id, issued_at desc);
create index application_certificates_revoked on application_certificates (tenant_id, ca_id)
  where status = 'revoked';
create index application_certificates_by_key on application_certificates (tenant_id, public_key_sha256);
