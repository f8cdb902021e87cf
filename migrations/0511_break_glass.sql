-- People who run the platform and see no tenant's data, unless they break the glass.
alter table users drop constraint users_platform_role_check;
alter table users add constraint users_platform_role_check
  check (platform_role in ('platform-administrator', 'platform-operator'));

-- Entries of the platform's operators into tenants: why, as what, and for how long. Kept as long as
-- the tenant; what was done meanwhile stands in its audit log.
create table break_glass (
  id uuid primary key,
  tenant_id text not null references tenants (id) on delete cascade,
  user_id uuid not null references users (id) on delete cascade,
  role text not null check (role in ('viewer', 'operator', 'fleet-engineer', 'auditor')),
  reason text not null,
  opened_at timestamptz not null,
  expires_at timestamptz not null,
  ended_at timestamptz,
  check (expires_at > opened_at and expires_at <= opened_at + interval '8 hours')
);
select vautn.isolate_tenants('break_glass');
revoke delete on break_glass from vautn_app;
create policy platform_rows on break_glass to vautn_app
  using (vautn.is_platform()) with check (vautn.is_platform());
create index break_glass_by_user on break_glass (user_id, expires_at);
create index break_glass_by_tenant on break_glass (tenant_id, opened_at desc);
