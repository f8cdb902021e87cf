import { type RawBuilder, sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { type FleetQuery, fleetCondition } from "./fleet-query.ts";
import type { HealthRow } from "./types.ts";

/** Groups of one answer, largest first. */
const MAX_GROUPS = 500;
/** Devices of one tenant that are compared with one another. */
const MAX_COHORT_DEVICES = 200_000;
const DAY_MS = 86_400_000;

/** Devices by presence, and their crashes of the last day, for each value of `by`. */
export async function countHealth(
  tx: Tx,
  by: string,
  query: FleetQuery,
  nowMs: number,
): Promise<HealthRow[]> {
  const { rows } = await sql<HealthRow>`
    select coalesce(${dimension(by)}, '') as key,
           count(*) as total,
           count(*) filter (where s.presence = 'online') as online,
           count(*) filter (where s.presence = 'late') as late,
           count(*) filter (where s.presence = 'offline') as offline,
           count(*) filter (where s.presence = 'never') as never,
           coalesce(sum(c.crashes), 0)::bigint as "crashes24h"
    from devices d
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.id
    left join (
      select device_id, count(*) as crashes from device_incidents
      where kind = 'crash' and occurred_at > ${new Date(nowMs - DAY_MS)}
      group by device_id
    ) c on c.device_id = d.id
    where ${fleetCondition(query, nowMs)}
    group by 1 order by total desc, key limit ${MAX_GROUPS}`.execute(tx);
  return rows;
}

/** Product and hardware of every device that has been heard, and the version that it runs. */
export async function readCohorts(
  tx: Tx,
): Promise<Map<string, { kind: string; firmware: string }>> {
  const { rows } = await sql<{ id: string; kind: string; firmware: string }>`
    select d.id, d.product || ' ' || d.hardware_revision as kind,
           coalesce(s.firmware_version, '') as firmware
    from devices d
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.id
    where s.presence <> 'never' limit ${MAX_COHORT_DEVICES}`.execute(tx);
  return new Map(rows.map(({ id, kind, firmware }) => [id, { kind, firmware }]));
}

function dimension(by: string): RawBuilder<unknown> {
  switch (by) {
    case "firmware":
      return sql`s.firmware_version`;
    case "hardware":
      return sql`d.hardware_revision`;
    case "product":
      return sql`d.product`;
    case "region":
      return sql`d.region`;
    case "presence":
      return sql`s.presence`;
    default:
      if (by.startsWith("tags.") && by.length > "tags.".length) {
        return sql`(d.tags ->> ${by.slice("tags.".length)}::text)`;
      }
      throw new AppError("invalid-request", `a fleet cannot be divided by "${by}"`, {
        allowed: ["firmware", "hardware", "product", "region", "presence", "tags.<key>"],
      });
  }
}
