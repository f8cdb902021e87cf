-- Keys of authorities may lie in a token (PKCS#11) or on a machine without a network (offline).
alter table certificate_authorities
  add column key_kind text not null default 'sealed'
    check (key_kind in ('sealed', 'offline', 'pkcs11')),
  -- RFC 7512; it never holds a PIN
  add column key_uri text,
  -- A root's certificate as its predecessor signed it: who trusts that one only gets here too.
  add column cross_certificate_pem text,
  add column ended_at timestamptz;

-- 'ended': its successor took over and nothing that it issued is accepted any more.
alter table certificate_authorities drop constraint certificate_authorities_status_check;
alter table certificate_authorities add constraint certificate_authorities_status_check
  check (status in ('active', 'retiring', 'revoked', 'ended'));

-- Authorities that wait for the offline root's signature; one of a kind for each tenant.
create table authority_requests (
  tenant_id text not null,
  id uuid not null,
  kind text not null check (kind in ('tenant', 'server')),
  subject text not null,
  -- PKCS#10
  request_pem text not null,
  key_kind text not null check (key_kind in ('sealed', 'pkcs11')),
  key_uri text,
  private_key_sealed bytea,
  created_at timestamptz not null,
  primary key (tenant_id, id),
  unique (tenant_id, kind)
);
select vautn.isolate_tenants('authority_requests');
create policy platform_rows on authority_requests to vautn_app
  using (vautn.is_platform()) with check (vautn.is_platform());

-- Keys that are known to be in other hands: no certificate is issued to them in any tenant.
create table compromised_keys (
  -- over the public key (SubjectPublicKeyInfo), hex
  public_key_sha256 text primary key,
  reason text not null,
  added_by text not null,
  added_at timestamptz not null
);
select vautn.isolate_platform('compromised_keys');
create policy readable_by_tenants on compromised_keys for select to vautn_app using (true);

create index certificates_by_authority on certificates (tenant_id, ca_id, not_after);

-- Lifetimes of certificates are set in hours: from one hour to two years.
update tenants set settings = (settings - 'certificateLifetimeDays')
    || jsonb_build_object('certificateLifetimeHours', (settings ->> 'certificateLifetimeDays')::int * 24)
  where settings ? 'certificateLifetimeDays';
