-- A deletion is written down before anything is removed: whoever goes on after a process has died knows
-- what was there, and the receipt comes all the same.
alter table tenant_deletions alter column receipt drop not null;
alter table tenant_deletions add column found jsonb;
create index tenant_deletions_under_way on tenant_deletions (tenant) where receipt is null;
