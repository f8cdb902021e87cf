import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { DeviceState } from "./states.ts";

export interface AbsentRow {
  stage_index: number;
  state: DeviceState;
  devices: number;
}

/**
 * Devices of a rollout, as far as the gate compares them, that are silent now. Read from the tenant's
 * devices that are offline (index `device_states_by_change`): it costs what is away, not the fleet.
 */
export async function readAbsent(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
): Promise<AbsentRow[]> {
  const { rows } = await sql<AbsentRow>`
    select d.stage_index, d.state, count(*) as devices
    from device_states s
    join rollout_devices d on d.tenant_id = s.tenant_id and d.rollout_id = ${rolloutId}
      and d.device_id = s.device_id
    where s.tenant_id = ${tenantId} and s.presence = 'offline' and d.excluded_reason is null
    group by d.stage_index, d.state`.execute(tx);
  return rows;
}
