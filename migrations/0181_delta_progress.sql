-- While building: the share of the work that is done, 0 to 1.
alter table deltas add column progress double precision;
