-- Which metrics the detectors follow; '*' says it for all that have no row of their own.
create table detector_metrics (
  tenant_id text not null references tenants (id) on delete cascade,
  metric text not null,
  enabled boolean not null,
  updated_at timestamptz not null,
  updated_by text not null,
  primary key (tenant_id, metric)
);
select vautn.isolate_tenants('detector_metrics');

-- Whether an alert of the detectors was of use to the people it told; one word for each alert.
create table alert_feedback (
  tenant_id text not null,
  alert_id uuid not null,
  metric text not null,
  useful boolean not null,
  at timestamptz not null,
  by text not null,
  primary key (tenant_id, alert_id),
  foreign key (tenant_id, alert_id) references alerts (tenant_id, id) on delete cascade
);
select vautn.isolate_tenants('alert_feedback');
create index alert_feedback_by_metric on alert_feedback (tenant_id, metric);
