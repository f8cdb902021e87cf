-- Runs for each device that is made or changed: the row is taken apart only where a dynamic rollout
-- is open.
create or replace function vautn.note_arrival() returns trigger language plpgsql as $$
begin
  if exists (select from rollouts where tenant_id = new.tenant_id and is_dynamic
             and state in ('preparing', 'running', 'paused', 'needs-decision')) then
    insert into rollout_arrivals (tenant_id, device_id)
    values (new.tenant_id, coalesce(to_jsonb(new) ->> 'device_id', to_jsonb(new) ->> 'id'))
    on conflict do nothing;
  end if;
  return null;
end $$;
