import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { ACTIVE_STATES } from "./rollout-store.ts";

/** A part of one of the rollout's devices in another one that could stand in its way. */
export interface Rival {
  rollout_id: string;
  device_id: string;
  /** The other one gives up who has not begun. */
  yields: boolean;
}

/**
 * Offers of ended rollouts, places in those that come after and in ways back, what has begun since
 * the fleet was judged, and what has ended well by now in a rollout that goes on.
 */
export async function rivalsOf(tx: Tx, tenantId: string, rolloutId: string): Promise<Rival[]> {
  const others = await otherRollouts(tx, tenantId, rolloutId);
  // Asked by itself: in one statement the new rows, all of them, would be hashed before it is known.
  if (others.length === 0) return [];
  const { rows } = await sql<Rival>`
    select d.rollout_id, d.device_id, o.yields
    from unnest(${others.map(({ id }) => id)}::uuid[],
                ${others.map((other) => other.is_active)}::bool[],
                ${others.map((other) => other.yields)}::bool[],
                ${others.map((other) => other.is_dynamic)}::bool[])
      as o(id, is_active, yields, is_dynamic)
    join rollout_devices d on d.tenant_id = ${tenantId} and d.rollout_id = o.id
    where ((d.state = 'offered' and not o.is_active)
           or (o.is_active and (d.state in ('pending', 'offered', 'downloading', 'installing',
                                            'rebooting', 'confirming')
                                or (d.state = 'succeeded' and not o.is_dynamic))))
      and exists (select from rollout_devices m where m.tenant_id = ${tenantId}
        and m.rollout_id = ${rolloutId} and m.device_id = d.device_id)`.execute(tx);
  return rows;
}

/**
 * Those that may hold devices of it. One that comes before it and has not begun holds none: when
 * that begins it takes who is left.
 */
async function otherRollouts(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
): Promise<{ id: string; is_active: boolean; yields: boolean; is_dynamic: boolean }[]> {
  const { rows } = await sql<{
    id: string;
    is_active: boolean;
    yields: boolean;
    is_dynamic: boolean;
  }>`
    select r.id, r.state = any(${[...ACTIVE_STATES]}::text[]) as is_active, r.is_dynamic,
           r.kind = 'update' and r.priority < own.priority as yields
    from rollouts own
    join rollouts r on r.tenant_id = own.tenant_id and r.id <> own.id
    where own.tenant_id = ${tenantId} and own.id = ${rolloutId}
      and not (r.kind = 'update' and r.state = 'preparing' and r.priority > own.priority)
      and exists (
        select from rollout_counters c
        where c.tenant_id = r.tenant_id and c.rollout_id = r.id and c.devices > 0
          and (c.state in ('pending', 'offered', 'downloading', 'installing', 'rebooting',
                           'confirming')
               or (c.state = 'succeeded' and r.state = any(${[...ACTIVE_STATES]}::text[]))))`.execute(
    tx,
  );
  return rows;
}
