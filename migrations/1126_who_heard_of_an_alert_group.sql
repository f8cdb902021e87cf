-- Steps of an escalation whose channels know of the group: they hear that somebody has seen it, and
-- that it has ended. `escalated` begins again as soon as nothing waits any more.
alter table alert_groups add column heard_steps integer not null default 0;
