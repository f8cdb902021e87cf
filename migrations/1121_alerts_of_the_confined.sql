-- Who is confined to groups of devices reads and writes the history of the alerts that they see. Rules,
-- policies, silences and channels concern the whole tenant and stay closed to them.
select vautn.open_to_confined('alert_history', 'select, insert',
  'alert_id in (select id from alerts)');
