import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { Dimension } from "./fleet-dimensions.ts";
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
  by: Dimension,
  query: FleetQuery,
  nowMs: number,
): Promise<HealthRow[]> {
  const { rows } = await sql<HealthRow>`
    select ${by.key} as key,
           count(*) as total,
           count(*) filter (where s.presence = 'online') as online,
           count(*) filter (where s.presence = 'late') as late,
           count(*) filter (where s.presence = 'offline') as offline,
           count(*) filter (where s.presence = 'never') as never,
           count(*) filter (where s.health = 'healthy') as healthy,
           count(*) filter (where s.health = 'degraded') as degraded,
           count(*) filter (where s.health = 'failing') as failing,
           coalesce(sum(c.crashes), 0)::bigint as "crashes24h"
    from devices d
    join device_states s on s.tenant_id = d.tenant_id and s.device_id = d.id
    left join (
      select device_id, count(*) as crashes from device_incidents
      where kind = 'crash' and occurred_at > ${new Date(nowMs - DAY_MS)}
      group by device_id
    ) c on c.device_id = d.id
    ${by.source}
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
