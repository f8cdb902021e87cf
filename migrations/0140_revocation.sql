-- Why a certificate was revoked, as RFC 5280 §5.3.1 counts the reasons. 6 is a hold, which may be
-- lifted: `held_status` is what the certificate returns to.
alter table certificates
  add column revocation_code smallint check (revocation_code between 0 and 10),
  add column held_status text check (held_status in ('active', 'superseded')),
  -- When what the revocation list says of it changed last; null while it never said anything.
  add column revocation_changed_at timestamptz,
  -- Of the certified key: ec-p256, ed25519, rsa-2048 …; null for what was issued before this column.
  add column key_algorithm text;
update certificates set revocation_code = 0, revocation_changed_at = coalesce(revoked_at, now())
  where status = 'revoked';
alter table certificates add constraint certificates_revoked_have_a_reason
  check (status <> 'revoked' or (revocation_code is not null and revocation_changed_at is not null));
create index certificates_by_revocation on certificates (tenant_id, ca_id, revocation_changed_at)
  where revocation_changed_at is not null;
create index certificates_by_expiry on certificates (tenant_id, not_after, serial);

-- Whoever revokes, and however: the reason and the time are there.
create function vautn.complete_revocation() returns trigger
  language plpgsql as $$
begin
  new.revocation_code := coalesce(new.revocation_code, 0);
  new.revoked_at := coalesce(new.revoked_at, now());
  if new.revocation_changed_at is not distinct from old.revocation_changed_at then
    new.revocation_changed_at := new.revoked_at;
  end if;
  return new;
end $$;
create trigger complete_revocation before update on certificates for each row
  when (new.status = 'revoked' and old.status <> 'revoked')
  execute function vautn.complete_revocation();

-- What live connections must hear of. Every process that holds connections reads it as often as
-- it must to be in time even where the message on the bus was lost. Rows are kept for a week.
create table standing_changes (
  tenant_id text not null,
  seq bigint generated always as identity,
  -- Readers go by transactions: one with a low number may commit after one with a higher.
  xact xid8 not null default pg_current_xact_id(),
  at timestamptz not null default now(),
  kind text not null check (kind in
    ('revoked', 'restored', 'quarantined', 'released', 'suspended', 'resumed')),
  -- Null: every device of the tenant.
  device_id text,
  -- Null: every certificate of the device.
  serial text,
  primary key (tenant_id, seq)
);
select vautn.isolate_tenants('standing_changes');
create index standing_changes_by_xact on standing_changes (xact, seq);
create index standing_changes_by_age on standing_changes (at);

-- With the owner's rights, because a tenant's status changes outside the tenant's own scope.
create function vautn.note_standing() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if tg_table_name = 'certificates' then
    insert into standing_changes (tenant_id, kind, device_id, serial)
    values (new.tenant_id, case new.status when 'revoked' then 'revoked' else 'restored' end,
            new.device_id, new.serial);
  elsif tg_table_name = 'devices' and tg_op = 'DELETE' then
    insert into standing_changes (tenant_id, kind, device_id) values (old.tenant_id, 'revoked', old.id);
  elsif tg_table_name = 'devices' then
    insert into standing_changes (tenant_id, kind, device_id)
    values (new.tenant_id,
            case new.status when 'revoked' then 'revoked' when 'quarantined' then 'quarantined'
              else case old.status when 'quarantined' then 'released' else 'restored' end end,
            new.id);
  else
    insert into standing_changes (tenant_id, kind)
    values (new.id, case new.status when 'suspended' then 'suspended' else 'resumed' end);
  end if;
  return null;
end $$;
create trigger note_standing after update on certificates for each row
  when (old.revocation_changed_at is distinct from new.revocation_changed_at)
  execute function vautn.note_standing();
create trigger note_standing after update on devices for each row
  when (old.status <> new.status) execute function vautn.note_standing();
create trigger note_deletion after delete on devices for each row
  execute function vautn.note_standing();
create trigger note_standing after update on tenants for each row
  when (old.status <> new.status) execute function vautn.note_standing();

-- A page of the changes whose transaction is `since` or later, beyond the row (xact, seq) of the
-- page before. A suspension that has been lifted meanwhile is no news.
create function vautn.standing_changes_since(since xid8, after_xact xid8, after_seq bigint, most integer)
  returns table (tenant_id text, seq bigint, xact xid8, kind text, device_id text, serial text)
  language sql stable security definer set search_path = public, pg_temp as
  $$ select c.tenant_id, c.seq, c.xact, c.kind, c.device_id, c.serial
     from standing_changes c left join tenants t on t.id = c.tenant_id
     where c.xact >= since and (c.xact, c.seq) > (after_xact, after_seq)
       and (c.kind <> 'suspended' or t.status is distinct from 'active')
     order by c.xact, c.seq limit most $$;
revoke all on function vautn.standing_changes_since from public;
grant execute on function vautn.standing_changes_since to vautn_app;

create function vautn.forget_standing_changes(before timestamptz) returns bigint
  language sql security definer set search_path = public, pg_temp as
  $$ with gone as (delete from standing_changes where at < before returning 1)
     select count(*) from gone $$;
revoke all on function vautn.forget_standing_changes from public;
grant execute on function vautn.forget_standing_changes to vautn_app;

-- Quarantines of a device, past ones included; the one that is not lifted is in force.
create table quarantines (
  tenant_id text not null,
  id uuid not null,
  device_id text not null,
  reason text not null,
  set_at timestamptz not null,
  set_by text not null,
  lift_reason text,
  lifted_at timestamptz,
  lifted_by text,
  primary key (tenant_id, id),
  foreign key (tenant_id, device_id) references devices (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('quarantines');
create unique index quarantines_in_force on quarantines (tenant_id, device_id)
  where lifted_at is null;
create index quarantines_by_device on quarantines (tenant_id, device_id, set_at desc);

-- Whoever changes a device's status, the history of its quarantines is whole.
create function vautn.keep_quarantines() returns trigger
  language plpgsql as $$
begin
  if new.status = 'quarantined' then
    insert into quarantines (tenant_id, id, device_id, reason, set_at, set_by)
    values (new.tenant_id, gen_random_uuid(), new.id, 'set with the description of the device', now(), '')
    on conflict do nothing;
  else
    update quarantines set lifted_at = now(), lift_reason = 'the device became ' || new.status
    where tenant_id = new.tenant_id and device_id = new.id and lifted_at is null;
  end if;
  return null;
end $$;
create trigger keep_quarantines after update on devices for each row
  when (old.status <> new.status and (old.status = 'quarantined' or new.status = 'quarantined'))
  execute function vautn.keep_quarantines();

-- Published revocation lists: the newest full one and the newest delta of each authority.
create table revocation_lists (
  tenant_id text not null,
  ca_id uuid not null,
  kind text not null check (kind in ('full', 'delta')),
  -- One sequence for both kinds (RFC 5280 §5.2.3).
  number bigint not null,
  base_number bigint,
  entries integer not null,
  -- SHA-256 over what the entries say, hex: a list with nothing new is not made again.
  content_sha256 text not null,
  this_update timestamptz not null,
  next_update timestamptz not null,
  der bytea not null,
  primary key (tenant_id, ca_id, kind)
);
select vautn.isolate_tenants('revocation_lists');
create policy platform_rows on revocation_lists to vautn_app
  using (vautn.is_platform()) with check (vautn.is_platform());

-- Whom a public request about revocation names: the CRL and OCSP routes know no tenant.
create function vautn.published_authorities(after_created timestamptz, most integer)
  returns table (tenant_id text, id uuid, kind text, certificate_pem text, created_at timestamptz)
  language sql stable security definer set search_path = public, pg_temp as
  $$ select tenant_id, id, kind, certificate_pem, created_at from certificate_authorities
     where created_at >= after_created order by created_at, id limit most $$;
revoke all on function vautn.published_authorities from public;
grant execute on function vautn.published_authorities to vautn_app;
