-- A certificate whose device was removed is accepted no more, and revocation lists go on to say so
-- until it would have ended by itself.
create table removed_certificates (
  tenant_id text not null,
  ca_id uuid not null,
  serial text not null,
  not_after timestamptz not null,
  removed_at timestamptz not null default now(),
  primary key (tenant_id, ca_id, serial)
);
select vautn.isolate_tenants('removed_certificates');
create index removed_certificates_by_end on removed_certificates (not_after);

-- With the owner's rights: a tenant is removed outside the tenant's own scope.
create function vautn.note_removed_certificate() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  insert into removed_certificates (tenant_id, ca_id, serial, not_after)
  values (old.tenant_id, old.ca_id, old.serial, old.not_after)
  on conflict do nothing;
  return null;
end $$;
create trigger note_removed after delete on certificates for each row
  when (old.not_after > now()) execute function vautn.note_removed_certificate();

-- When an authority was revoked: its superior's list says so.
alter table certificate_authorities add column revoked_at timestamptz;
create function vautn.date_revoked_authority() returns trigger
  language plpgsql as $$
begin
  new.revoked_at := now();
  return new;
end $$;
create trigger date_revoked before update on certificate_authorities for each row
  when (new.status = 'revoked' and old.status <> 'revoked' and new.revoked_at is null)
  execute function vautn.date_revoked_authority();

create function vautn.revoked_authorities() returns table (certificate_pem text, revoked_at timestamptz)
  language sql stable security definer set search_path = public, pg_temp as
  $$ select certificate_pem, coalesce(revoked_at, created_at) from certificate_authorities
     where status = 'revoked' and not_after > now() order by id limit 100000 $$;
revoke all on function vautn.revoked_authorities from public;
grant execute on function vautn.revoked_authorities to vautn_app;

-- What old entries are good for has passed.
create function vautn.forget_removed_certificates(before timestamptz) returns bigint
  language sql security definer set search_path = public, pg_temp as
  $$ with gone as (delete from removed_certificates where not_after < before returning 1)
     select count(*) from gone $$;
revoke all on function vautn.forget_removed_certificates from public;
grant execute on function vautn.forget_removed_certificates to vautn_app;
