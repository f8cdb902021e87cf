-- How the devices of a group, or of one value of a tag, fared: beside fleet_history, as a device may be in
-- several groups, and the names of tags are the tenant's own.
create table fleet_history_labels (
  tenant_id text not null references tenants (id) on delete cascade,
  at timestamptz not null,
  -- 'group', or 'tags.' and the tag's name.
  label text not null,
  key text not null,
  total integer not null,
  online integer not null,
  healthy integer not null,
  degraded integer not null,
  failing integer not null,
  offline integer not null,
  primary key (tenant_id, at, label, key)
);
select vautn.isolate_tenants('fleet_history_labels');
create index fleet_history_labels_by_label on fleet_history_labels (tenant_id, label, at);
