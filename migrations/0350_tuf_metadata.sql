-- Trust in the shape of TUF: the keys that are kept online, delegations, and for each product the
-- snapshot and the timestamp that devices are given.

alter table director_keys rename to online_keys;
alter table online_keys add column role text not null default 'director'
  check (role in ('director', 'repository'));
alter table online_keys alter column role drop default;
-- Keys of the older form have other ids: new ones are made, and named by the next root.
delete from online_keys;

-- Documents of the older form cannot be followed any more: the tenant sets its root anew, and what
-- was signed under the old one is on offer no longer.
delete from trust_roots where not (envelope->'signed' ? 'spec_version');
update releases set status = 'yanked', yank_reason = 'signed in an older form: build and sign it anew'
  where envelope->'signatures'->0 ? 'keyId' and status = 'published';

-- Versions of the targets role: which keys sign the releases of which products.
create table trust_targets (
  tenant_id text not null references tenants (id) on delete cascade,
  version integer not null check (version > 0),
  envelope jsonb not null,
  created_at timestamptz not null,
  primary key (tenant_id, version)
);
select vautn.isolate_tenants('trust_targets');

-- The newest snapshot and timestamp of a product, as they were signed.
create table product_metadata (
  tenant_id text not null references tenants (id) on delete cascade,
  product text not null,
  root_version integer not null,
  snapshot jsonb not null,
  timestamp jsonb not null,
  -- From then on the timestamp is due to be signed anew.
  renew_at timestamptz not null,
  primary key (tenant_id, product)
);
select vautn.isolate_tenants('product_metadata');
create index product_metadata_due on product_metadata (renew_at);

create function vautn.tenants_with_due_metadata(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from product_metadata where renew_at <= moment limit 1000 $$;
revoke all on function vautn.tenants_with_due_metadata from public;
grant execute on function vautn.tenants_with_due_metadata to vautn_app;
