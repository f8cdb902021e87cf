-- That a tenant's rows are on their way into or out of partitions of their own: since when, and how far.
alter table tenants add column storage_move jsonb;
