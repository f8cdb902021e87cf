-- How many devices ran the source when the delta was asked for: what most of them wait for is built first.
alter table deltas add column devices integer not null default 0;
