-- Enrolment, every way. A claim is a bounded right to enrol; what proves it is a token (HTTP Basic),
-- a shared secret (CMP with a MAC), or a certificate of its own (TLS, or CMP with a signature).
alter table claim_tokens
  add column kind text not null default 'token'
    check (kind in ('token', 'shared-secret', 'certificate')),
  -- What has to happen besides the proof: nothing, a place on the list, or a person's word.
  add column approval text not null default 'automatic'
    check (approval in ('automatic', 'preauthorised', 'pending')),
  add column webhook_url text,
  add column webhook_secret_sealed bytea,
  add column webhook_on_failure text check (webhook_on_failure in ('refuse', 'pending')),
  -- CMP computes a MAC with the secret itself: kept sealed, where a token is kept as its hash.
  add column secret_sealed bytea,
  add column certificate_pem text,
  -- Of kind 'certificate': the registered authority whose certificates all prove this claim.
  add column authority_id uuid;

-- Who used which claim, with which key. The holder of that key may ask again when a reply was lost.
create table claim_uses (
  tenant_id text not null,
  claim_id uuid not null,
  device_id text not null,
  -- SHA-256 over the public key that signed the request, hex
  request_key_sha256 text not null,
  used_at timestamptz not null,
  primary key (tenant_id, claim_id, device_id),
  foreign key (tenant_id, claim_id) references claim_tokens (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('claim_uses');

-- Devices that are expected: what each is, and where it is known, which key it will come with.
create table preauthorised_devices (
  tenant_id text not null references tenants (id) on delete cascade,
  device_id text not null check (device_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'),
  -- Must stand in the request's subject (2.5.4.5) where it is set.
  serial_number text,
  product text not null,
  hardware_revision text not null,
  region text not null default '',
  tags jsonb not null default '{}',
  public_key_sha256 text check (public_key_sha256 ~ '^[0-9a-f]{64}$'),
  added_by text not null,
  added_at timestamptz not null,
  enrolled_at timestamptz,
  primary key (tenant_id, device_id)
);
select vautn.isolate_tenants('preauthorised_devices');
create unique index preauthorised_devices_by_key
  on preauthorised_devices (tenant_id, public_key_sha256) where public_key_sha256 is not null;

-- Enrolments that wait for a person.
create table pending_enrolments (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  device_id text not null,
  -- Of the key that signed the request, or of the certificate that a registered authority issued.
  public_key_sha256 text not null,
  status text not null check (status in ('pending', 'accepted', 'rejected')),
  -- By what right: 'claim', 'registered-authority'
  authority text not null,
  authority_name text not null,
  via text not null,
  address text,
  product text not null,
  hardware_revision text not null,
  region text not null default '',
  tags jsonb not null default '{}',
  -- Why a person is asked: the policy says so, or its webhook did not answer.
  cause text not null,
  requested_at timestamptz not null,
  last_asked_at timestamptz not null,
  expires_at timestamptz not null,
  decided_at timestamptz,
  decided_by text,
  decision_reason text,
  primary key (tenant_id, id),
  unique (tenant_id, device_id, public_key_sha256)
);
select vautn.isolate_tenants('pending_enrolments');
create index pending_enrolments_by_status
  on pending_enrolments (tenant_id, status, requested_at desc);

-- A tenant's own authorities. Nothing that they issued is accepted before the tenant has proved
-- that it holds the key.
create table registered_authorities (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  name text not null,
  status text not null check (status in ('unproved', 'active', 'disabled')),
  -- 'devices': its certificates name devices. 'claims': they prove a claim, as one issued by us.
  purpose text not null check (purpose in ('devices', 'claims')),
  certificate_pem text not null,
  subject text not null,
  -- SHA-256 over the DER of the subject, hex: how a certificate's issuer is looked up
  subject_sha256 text not null,
  public_key_sha256 text not null,
  fingerprint text not null,
  not_after timestamptz not null,
  -- Common name that the verification certificate must have
  code text not null,
  code_expires_at timestamptz not null,
  proved_at timestamptz,
  -- {"template": "{cn}", "fields": {"cn": "{}.acme.example"}}
  mapping jsonb not null,
  device_pattern text not null,
  product text not null,
  hardware_revision text not null,
  region text not null default '',
  tags jsonb not null default '{}',
  -- Devices that it may bring; those that exist already are not counted.
  max_devices integer not null check (max_devices > 0),
  device_count integer not null default 0,
  approval text not null check (approval in ('automatic', 'preauthorised', 'pending')),
  webhook_url text,
  webhook_secret_sealed bytea,
  webhook_on_failure text check (webhook_on_failure in ('refuse', 'pending')),
  created_by text not null,
  created_at timestamptz not null,
  primary key (tenant_id, id)
);
select vautn.isolate_tenants('registered_authorities');
-- One key belongs to one tenant: a certificate of it must not be two tenants' device.
create unique index registered_authorities_by_key
  on registered_authorities (public_key_sha256) where status = 'active';
create index registered_authorities_by_subject
  on registered_authorities (subject_sha256) where status = 'active';

-- A connection says by its certificate's issuer which authority to ask, and by that which tenant.
create function vautn.registered_authorities_named(subject text)
  returns table (tenant_id text, id uuid)
  language sql stable security definer set search_path = public, pg_temp as
  $$ select tenant_id, id from registered_authorities
     where subject_sha256 = subject and status = 'active' order by proved_at limit 20 $$;
revoke all on function vautn.registered_authorities_named from public;
grant execute on function vautn.registered_authorities_named to vautn_app;

-- Certificates of registered authorities with which devices have come.
create table registered_certificates (
  tenant_id text not null,
  -- SHA-256 over the DER, hex
  fingerprint text not null,
  authority_id uuid not null,
  device_id text not null,
  serial text not null,
  public_key_sha256 text not null,
  subject text not null,
  not_after timestamptz not null,
  status text not null default 'active' check (status in ('active', 'revoked')),
  first_used_at timestamptz not null,
  primary key (tenant_id, fingerprint),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade,
  foreign key (tenant_id, authority_id)
    references registered_authorities (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('registered_certificates');
create index registered_certificates_by_device on registered_certificates (tenant_id, device_id);

-- Exchanges of the Certificate Management Protocol that go on after the first answer.
create table cmp_transactions (
  tenant_id text not null references tenants (id) on delete cascade,
  -- transactionID of the messages
  id bytea not null,
  status text not null check (status in ('waiting', 'issued', 'confirmed', 'rejected')),
  -- Type of the body that began it: ir, cr, kur, p10cr
  request text not null,
  -- SHA-256 over who protects the messages: only the same one goes on with it
  peer_hash bytea not null,
  -- The request itself, as long as a person has to accept it
  message bytea,
  device_id text not null,
  certificate_serial text,
  certificate_sha256 text,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (tenant_id, id)
);
select vautn.isolate_tenants('cmp_transactions');
create index cmp_transactions_by_end on cmp_transactions (tenant_id, expires_at);
