-- The root is under '_platform'. Private keys are sealed (AES-256-GCM) with the master key.
create table certificate_authorities (
  tenant_id text not null,
  id uuid not null,
  kind text not null check (kind in ('root', 'tenant', 'server')),
  status text not null check (status in ('active', 'retiring', 'revoked')),
  subject text not null,
  certificate_pem text not null,
  private_key_sealed bytea,
  -- SHA-256 over the DER, hex
  fingerprint text not null,
  -- SHA-1 over the public key (RFC 5280 §4.2.1.2), hex: what a device's certificate names
  key_identifier text not null,
  created_at timestamptz not null,
  not_after timestamptz not null,
  primary key (tenant_id, id)
);
select vautn.isolate_tenants('certificate_authorities');
create policy platform_rows on certificate_authorities to vautn_app
  using (vautn.is_platform()) with check (vautn.is_platform());

create table devices (
  tenant_id text not null references tenants (id) on delete cascade,
  id text not null check (id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'),
  product text not null,
  hardware_revision text not null,
  region text not null default '',
  tags jsonb not null default '{}',
  status text not null default 'active' check (status in ('active', 'quarantined', 'revoked')),
  created_at timestamptz not null,
  enrolled_at timestamptz,
  primary key (tenant_id, id)
);
select vautn.isolate_tenants('devices');
create index devices_by_product on devices (tenant_id, product, hardware_revision);

create table certificates (
  tenant_id text not null,
  -- lower-case hex
  serial text not null,
  device_id text not null,
  ca_id uuid not null,
  status text not null check (status in ('active', 'superseded', 'revoked')),
  subject text not null,
  fingerprint text not null,
  public_key_sha256 text not null,
  not_before timestamptz not null,
  not_after timestamptz not null,
  issued_at timestamptz not null,
  issued_via text not null,
  first_used_at timestamptz,
  -- When a later certificate was first used; this one is still accepted for a grace period.
  superseded_at timestamptz,
  revoked_at timestamptz,
  revocation_reason text,
  primary key (tenant_id, serial),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade,
  foreign key (tenant_id, ca_id) references certificate_authorities (tenant_id, id)
);
select vautn.isolate_tenants('certificates');
create index certificates_by_device on certificates (tenant_id, device_id, issued_at desc);
create index certificates_by_key on certificates (tenant_id, public_key_sha256);

create table claim_tokens (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  name text not null,
  token_hash bytea not null,
  -- glob over device ids: * and ?
  device_pattern text not null,
  product text not null,
  hardware_revision text not null,
  region text not null default '',
  tags jsonb not null default '{}',
  max_uses integer not null check (max_uses > 0),
  used_count integer not null default 0 check (used_count <= max_uses),
  created_by text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  revoked_at timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, token_hash)
);
select vautn.isolate_tenants('claim_tokens');
