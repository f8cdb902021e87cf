-- What a device waits for before it goes on with its phase, in its own words: {"element", "message"}.
alter table rollout_devices add column waiting_for jsonb;
