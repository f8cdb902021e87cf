import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { TimelineEntry } from "./types.ts";

/**
 * A page of a device's timeline, the newest first: what the platform found out, its incidents, and the
 * alerts about it. Each source gives at most a page, so that a long history costs no more.
 */
export async function readTimeline(
  tx: Tx,
  tenantId: string,
  deviceId: string,
  { before, limit }: { before: { at: string; id: string } | undefined; limit: number },
): Promise<TimelineEntry[]> {
  const at = before ? new Date(before.at) : null;
  const older = (time: string, id: string) =>
    at ? sql`and (${sql.raw(time)}, ${sql.raw(id)}) < (${at}, ${before?.id})` : sql``;
  // To the millisecond, as cursors are: two moments within one are told apart by their ids.
  const moment = (column: string) => `date_trunc('milliseconds', ${column})`;
  const incidentId = "(kind || ':' || key)";
  const { rows } = await sql<{ at: Date; id: string; kind: string; details: object }>`
    select * from (
      (select ${sql.raw(moment("at"))} as at, id::text collate "C" as id, kind, details
       from device_timeline
       where tenant_id = ${tenantId} and device_id = ${deviceId}
         ${older(moment("at"), 'id::text collate "C"')}
       order by 1 desc, 2 desc limit ${limit})
      union all
      (select ${sql.raw(moment("occurred_at"))}, ${sql.raw(incidentId)} collate "C", 'incident',
              details || jsonb_build_object('incident', kind, 'firmwareSha256', firmware_sha256)
       from device_incidents
       where tenant_id = ${tenantId} and device_id = ${deviceId} and kind <> 'silence'
         ${older(moment("occurred_at"), `${incidentId} collate "C"`)}
       order by 1 desc, 2 desc limit ${limit})
      union all
      (select ${sql.raw(moment("opened_at"))}, ('raised:' || id) collate "C", 'alert-raised',
              jsonb_build_object('alertId', id, 'alert', kind, 'severity', severity,
                                 'title', title)
       from alerts
       where tenant_id = ${tenantId} and subject_kind = 'device' and subject_id = ${deviceId}
         ${older(moment("opened_at"), "('raised:' || id) collate \"C\"")}
       order by 1 desc, 2 desc limit ${limit})
      union all
      (select ${sql.raw(moment("resolved_at"))}, ('resolved:' || id) collate "C", 'alert-resolved',
              jsonb_build_object('alertId', id, 'alert', kind, 'title', title)
       from alerts
       where tenant_id = ${tenantId} and subject_kind = 'device' and subject_id = ${deviceId}
         and resolved_at is not null
         ${older(moment("resolved_at"), "('resolved:' || id) collate \"C\"")}
       order by 1 desc, 2 desc limit ${limit})
    ) entries order by at desc, id desc limit ${limit}`.execute(tx);
  return rows.map(({ at: when, id, kind, details }) => ({
    at: when.toISOString(),
    id,
    kind,
    details: details as Record<string, unknown>,
  }));
}

export async function deleteOldEntries(tx: Tx, before: Date, limit: number): Promise<number> {
  const { rows } = await sql`
    delete from device_timeline where ctid in (
      select ctid from device_timeline where at <= ${before} order by at limit ${limit})
    returning 1`.execute(tx);
  return rows.length;
}
