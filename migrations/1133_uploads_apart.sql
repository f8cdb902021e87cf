-- Where the bytes of an upload lie until they are whole: among those of all, or in the tenant's own place.
alter table uploads add column place text not null default 'shared'
  check (place in ('shared', 'separate'));
