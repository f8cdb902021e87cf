-- A tenant's own roles, and people and keys that act on the devices of some groups only.

create table roles (
  tenant_id text not null references tenants (id) on delete cascade,
  -- No name of a built-in role: the application refuses those.
  name text not null check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  description text not null,
  permissions text[] not null check (cardinality(permissions) between 1 and 64),
  created_at timestamptz not null,
  created_by text not null,
  updated_at timestamptz not null,
  primary key (tenant_id, name)
);
select vautn.isolate_tenants('roles');
create policy platform_reads on roles for select to vautn_app using (vautn.is_platform());

-- `role` is null where `custom_role` says it. Without `groups` all devices of the tenant are meant.
alter table memberships
  alter column role drop not null,
  add column custom_role text,
  add column groups text[] check (cardinality(groups) between 1 and 20),
  add constraint memberships_have_one_role check (num_nonnulls(role, custom_role) = 1),
  add foreign key (tenant_id, custom_role) references roles (tenant_id, name);
alter table api_keys
  alter column role drop not null,
  add column custom_role text,
  add column groups text[] check (cardinality(groups) between 1 and 20),
  add constraint api_keys_have_one_role check (num_nonnulls(role, custom_role) = 1),
  add foreign key (tenant_id, custom_role) references roles (tenant_id, name);
create index memberships_by_custom_role on memberships (tenant_id, custom_role)
  where custom_role is not null;
create index api_keys_by_custom_role on api_keys (tenant_id, custom_role)
  where custom_role is not null;

-- Transactions of somebody who is confined run as vautn_confined. It sees what is granted to it
-- here and nothing else: a table that comes later is closed until a migration opens it.
grant usage on schema vautn to vautn_confined;
grant execute on function vautn.current_tenant(), vautn.is_platform() to vautn_confined;

create function vautn.confined_devices() returns setof text
  language sql stable parallel safe
  return unnest(nullif(current_setting('vautn.confined_devices', true), '')::text[]);
-- Null for everybody who is not confined: the default of `confined_to` below.
create function vautn.confined_groups() returns text[]
  language sql stable parallel safe
  return nullif(current_setting('vautn.confined_groups', true), '')::text[];
grant execute on function vautn.confined_devices(), vautn.confined_groups()
  to vautn_app, vautn_confined;

-- Opens a table of the tenant's to the confined: the rows of which `condition` holds.
create function vautn.open_to_confined(target regclass, rights text, condition text) returns void
  language plpgsql as $$
begin
  execute format('create policy confined_rows on %s to vautn_confined
    using (tenant_id = vautn.current_tenant() and (%s))
    with check (tenant_id = vautn.current_tenant() and (%s))', target, condition, condition);
  execute format('grant %s on %s to vautn_confined', rights, target);
end $$;

select vautn.open_to_confined(name::regclass, rights, 'device_id in (select vautn.confined_devices())')
from (values
  ('device_states', 'select'), ('device_incidents', 'select'), ('twins', 'select, insert, update'),
  ('commands', 'select, insert, update'), ('certificates', 'select, update'),
  ('certificate_rotations', 'select'), ('rotation_failures', 'select'),
  ('quarantines', 'select, insert, update'), ('rollout_devices', 'select'),
  ('rollout_pardons', 'select, insert, update, delete')
) as opened (name, rights);
select vautn.open_to_confined('devices', 'select, update, delete',
  'id in (select vautn.confined_devices())');
select vautn.open_to_confined('device_groups', 'select', 'name = any(vautn.confined_groups())');

-- What one of the confined made for many devices belongs to whoever has those groups.
alter table command_batches add column confined_to text[] default vautn.confined_groups();
alter table rollouts add column confined_to text[] default vautn.confined_groups();
select vautn.open_to_confined('command_batches', 'select, insert, update',
  'confined_to <@ vautn.confined_groups()');
-- Their rollouts are made and steered by the application's role, for a device must not have two
-- updates at once, and who is confined does not see the other one.
select vautn.open_to_confined('rollouts', 'select', 'confined_to <@ vautn.confined_groups()');
select vautn.open_to_confined(name::regclass, 'select', 'rollout_id in (select id from rollouts)')
from (values ('rollout_stages'), ('rollout_counters'), ('rollout_evidence'), ('rollout_verdicts'),
  ('rollout_cohorts')) as opened (name);
select vautn.open_to_confined('alerts', 'select, update',
  $$(subject_kind = 'device' and subject_id in (select vautn.confined_devices()))
    or (subject_kind = 'rollout' and subject_id in (select id::text from rollouts))$$);

-- Nobody's devices in particular.
select vautn.open_to_confined(name::regclass, 'select', 'true')
from (values ('releases'), ('release_files'), ('release_components'), ('artifacts'), ('deltas'),
  ('trust_roots'), ('product_metadata'), ('rollout_stops')) as opened (name);
create policy confined_rows on tenants for select to vautn_confined
  using (id = vautn.current_tenant());
grant select on tenants to vautn_confined;
-- What they do is recorded like everybody's, and they cannot read it.
select vautn.open_to_confined('audit_heads', 'select, insert, update', 'true');
create policy confined_rows on audit_entries for insert to vautn_confined
  with check (tenant_id = vautn.current_tenant());
grant insert on audit_entries to vautn_confined;
select vautn.open_to_confined('idempotency_keys', 'select, insert, update, delete', 'true');

-- Triggers that keep the books of others: with the owner's rights, whoever changes a device.
alter function vautn.note_arrival() security definer set search_path = public, pg_temp;
alter function vautn.note_presence() security definer set search_path = public, pg_temp;
alter function vautn.keep_quarantines() security definer set search_path = public, pg_temp;
alter function vautn.uncount_rollout_device() security definer set search_path = public, pg_temp;
alter function vautn.remove_rollout_devices() security definer set search_path = public, pg_temp;
alter function vautn.note_removed_certificate() security definer set search_path = public, pg_temp;
