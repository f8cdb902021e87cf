-- One order to many devices: who was meant, at what pace, and whether it goes on.
create table command_batches (
  tenant_id text not null,
  id uuid not null,
  name text not null,
  -- As it was asked for: a fleet query, a group or the number of devices that were named.
  target_kind text not null check (target_kind in ('devices', 'group', 'query')),
  target text not null,
  state text not null check (state in ('running', 'paused', 'cancelled')),
  device_count integer not null,
  ttl_seconds integer not null,
  -- The pace; without any of them every command is queued at once.
  concurrency integer,
  batch_size integer,
  interval_seconds integer,
  -- When the next commands are released; null where none waits.
  release_at timestamptz,
  created_at timestamptz not null,
  created_by text not null,
  traceparent text,
  primary key (tenant_id, id)
);
select vautn.isolate_tenants('command_batches');
create index command_batches_due on command_batches (release_at)
  where state = 'running' and release_at is not null;

alter table commands
  drop constraint commands_status_check,
  add constraint commands_status_check check (status in
    ('waiting', 'queued', 'delivered', 'accepted', 'running', 'succeeded', 'failed', 'rejected',
     'expired', 'timed-out', 'replaced', 'cancelled')),
  add column batch_id uuid,
  add column priority smallint not null default 0,
  add column coalesce_key text,
  add column replaced_by uuid,
  -- How long each phase may take, in seconds.
  add column deliver_seconds integer,
  add column accept_seconds integer,
  add column run_seconds integer,
  -- When the phase that the command is in has taken too long.
  add column deadline_at timestamptz,
  -- Attempts are commands of their own, so that an id is carried out once at most.
  add column attempt smallint not null default 1,
  add column max_attempts smallint not null default 1,
  add column retry_seconds integer not null default 0,
  add column retry_on text[] not null default '{}',
  add column retry_of uuid,
  add column retried_by uuid,
  -- When a new attempt is queued.
  add column release_at timestamptz,
  add column accepted_at timestamptz,
  add column progress real,
  add column stream text,
  add column stream_next integer not null default 0,
  add column stream_cut boolean not null default false,
  add foreign key (tenant_id, batch_id) references command_batches (tenant_id, id);

-- The moment at which something happens to the command by itself.
alter table commands
  add column due_at timestamptz generated always as (
    case
      when status = 'waiting' then release_at
      when status in ('queued', 'delivered', 'accepted', 'running')
        then least(expires_at, deadline_at)
    end) stored;

drop index commands_open_by_device;
create index commands_open on commands (tenant_id, device_id)
  where status in ('waiting', 'queued', 'delivered', 'accepted', 'running');
create index commands_queue on commands (tenant_id, device_id, priority desc, seq)
  where status = 'queued';
create index commands_due on commands (due_at) where due_at is not null;
create index commands_coalescing on commands (tenant_id, device_id, coalesce_key)
  where coalesce_key is not null and status in ('waiting', 'queued');
-- The last attempts, by state: what a batch is counted and listed by.
create index commands_of_batch on commands (tenant_id, batch_id, status, device_id)
  where batch_id is not null and retried_by is null;
create index commands_waiting on commands (tenant_id, batch_id, seq)
  where status = 'waiting' and batch_id is not null;

drop function vautn.tenants_with_expired_commands;
drop index commands_expiring;
create function vautn.tenants_with_due_commands(moment timestamptz) returns setof text
  language sql stable security definer set search_path = public, pg_temp as
  $$ select distinct tenant_id from
       (select tenant_id from commands where due_at <= moment order by due_at limit 10000) due
     union
     select distinct tenant_id from command_batches
     where state = 'running' and release_at <= moment limit 1000 $$;
revoke all on function vautn.tenants_with_due_commands from public;
grant execute on function vautn.tenants_with_due_commands to vautn_app;
