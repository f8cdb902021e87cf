-- Where a tenant's rows and files lie: with those of others, or in partitions and folders of their own.
alter table tenants add column storage_class text not null default 'shared'
  check (storage_class in ('shared', 'separate'));
create index tenants_kept_apart on tenants (id) where storage_class = 'separate';
