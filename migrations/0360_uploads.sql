-- Images on their way in, by the tus protocol. The bytes lie in the blob store's staging area; what
-- stands here as offset has been synced there.
create table uploads (
  tenant_id text not null references tenants (id) on delete cascade,
  id uuid not null,
  status text not null check (status in ('open', 'finishing', 'complete')),
  size_bytes bigint not null check (size_bytes >= 0),
  offset_bytes bigint not null check (offset_bytes between 0 and size_bytes),
  -- As the client sent it (Upload-Metadata), and the two names in it that mean something here.
  metadata text not null,
  name text not null,
  expected_sha256 text check (expected_sha256 ~ '^[0-9a-f]{64}$'),
  -- Of all the content; known from `finishing` on.
  sha256 text check (sha256 ~ '^[0-9a-f]{64}$'),
  created_at timestamptz not null,
  created_by text not null,
  expires_at timestamptz not null,
  -- Who writes to it: one at a time, for as long as the lease is renewed.
  lock_token uuid,
  locked_until timestamptz,
  primary key (tenant_id, id),
  check ((status = 'open') = (sha256 is null))
);
select vautn.isolate_tenants('uploads');
create index uploads_expiring on uploads (expires_at);
create index uploads_by_hash on uploads (sha256) where sha256 is not null;

create function vautn.tenants_with_expired_uploads(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from uploads where expires_at <= moment limit 1000 $$;
revoke all on function vautn.tenants_with_expired_uploads from public;
grant execute on function vautn.tenants_with_expired_uploads to vautn_app;
