-- What waits for one receiver is taken in its order without reading what waits for the others.
create index webhook_deliveries_waiting on webhook_deliveries (tenant_id, webhook_id, created_at, id)
  where status = 'pending';
create index alert_deliveries_waiting on alert_deliveries (tenant_id, channel_id, created_at, id)
  where status = 'pending';
