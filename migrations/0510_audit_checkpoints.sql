-- Ends of audit chains, signed by the platform's key: who may write to the database and nothing else
-- cannot make a chain anew. Numbers have no gaps, so that one that is taken away is missed.
create table audit_checkpoints (
  tenant_id text not null,
  number bigint not null check (number > 0),
  seq bigint not null check (seq > 0),
  hash bytea not null,
  at timestamptz not null,
  key_id text not null,
  signature bytea not null,
  primary key (tenant_id, number),
  unique (tenant_id, seq)
);
select vautn.isolate_tenants('audit_checkpoints');
revoke update, delete on audit_checkpoints from vautn_app;
create policy platform_rows on audit_checkpoints to vautn_app
  using (vautn.is_platform()) with check (vautn.is_platform());

-- Chains whose end has moved since a checkpoint that was made before `moment`, or that have none.
create function vautn.tenants_with_unsigned_audit(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select h.tenant_id from audit_heads h
     left join lateral (select c.seq, c.at from audit_checkpoints c
       where c.tenant_id = h.tenant_id order by c.number desc limit 1) last on true
     where h.seq > coalesce(last.seq, 0) and coalesce(last.at, '-infinity') <= moment
     order by last.at nulls first limit 1000 $$;
revoke all on function vautn.tenants_with_unsigned_audit from public;
grant execute on function vautn.tenants_with_unsigned_audit to vautn_app;

-- Chains that hold entries from before `moment`; how long each tenant keeps its own is asked then.
create function vautn.tenants_with_old_audit(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select h.tenant_id from audit_heads h
     where exists (select 1 from audit_entries e where e.tenant_id = h.tenant_id and e.at < moment)
     limit 1000 $$;
revoke all on function vautn.tenants_with_old_audit from public;
grant execute on function vautn.tenants_with_old_audit to vautn_app;

-- The one way in which the application deletes from the log: what is older than ninety days, from the
-- beginning, up to a signed checkpoint. Within the transaction that writes down that it did.
create function vautn.forget_audit(chain text, up_to bigint) returns bigint
  language plpgsql security definer set search_path = public, pg_temp as $$
declare deleted bigint;
begin
  if chain is distinct from vautn.current_tenant() and not vautn.is_platform() then
    raise exception 'another tenant''s audit log';
  end if;
  if not exists (select 1 from audit_checkpoints where tenant_id = chain and seq = up_to) then
    raise exception 'audit entries are deleted up to a signed checkpoint';
  end if;
  if exists (select 1 from audit_entries where tenant_id = chain and seq <= up_to
      and at > now() - interval '90 days') then
    raise exception 'audit entries are kept for ninety days at least';
  end if;
  delete from audit_entries where tenant_id = chain and seq <= up_to;
  get diagnostics deleted = row_count;
  delete from audit_checkpoints where tenant_id = chain and seq < up_to;
  return deleted;
end $$;
revoke all on function vautn.forget_audit from public;
grant execute on function vautn.forget_audit to vautn_app;
