import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { Range } from "./turns.ts";

export interface Candidate {
  device_id: string;
  /** Devices are compared with their like: hardware revision and region. */
  stratum: string;
}

/**
 * Devices that have run the new image for the metric's window, or that wait for it, and that have
 * been in no pair of the metric yet, of those whose turn it is. Those that the gate leaves out are
 * in none.
 */
export async function pairCandidates(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  arm: "treated" | "control",
  query: { key: string; since: Date; ranges: readonly Range[] },
): Promise<Candidate[]> {
  const standing =
    arm === "treated"
      ? sql`m.state = 'succeeded' and m.finished_at <= ${query.since}`
      : sql`m.state = 'pending'`;
  const { ranges } = query;
  const { rows } = await sql<Candidate>`
    select m.device_id, d.hardware_revision || '/' || d.region as stratum
    from unnest(${ranges.map(([first]) => first)}::int[], ${ranges.map(([, past]) => past)}::int[])
      as r(first, past)
    join rollout_stages g on g.tenant_id = ${tenantId} and g.rollout_id = ${rolloutId}
    join rollout_devices m on m.tenant_id = ${tenantId} and m.rollout_id = ${rolloutId}
      and m.stage_index = g.stage_index and m.ordinal >= r.first and m.ordinal < r.past
    join devices d on d.tenant_id = m.tenant_id and d.id = m.device_id
    join device_states s on s.tenant_id = m.tenant_id and s.device_id = m.device_id
    where ${standing} and m.excluded_reason is null and not m.counted ? ${query.key}::text
      and s.presence <> 'offline'
    order by m.ordinal`.execute(tx);
  return rows;
}

export interface Pair {
  treated: string;
  control: string;
  isWorse: boolean;
}

/** Marks both devices of each pair; returns the pairs of which neither had been marked. */
export async function takePairs(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  key: string,
  pairs: readonly Pair[],
  nowMs: number,
): Promise<Pair[]> {
  const ids = pairs.flatMap(({ treated, control }) => [treated, control]);
  const { rows } = await sql<{ device_id: string }>`
    with free as (
      select device_id from rollout_devices
      where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
        and device_id = any(${ids}::text[]) and not counted ? ${key}::text
      order by device_id for update)
    update rollout_devices m set counted = m.counted || jsonb_build_object(${key}::text, ${nowMs}::float8)
    from free where m.tenant_id = ${tenantId} and m.rollout_id = ${rolloutId}
      and m.device_id = free.device_id
    returning m.device_id`.execute(tx);
  const taken = new Set(rows.map((row) => row.device_id));
  return pairs.filter(({ treated, control }) => taken.has(treated) && taken.has(control));
}

/** Devices whose connection was lost since `since`; an index holds them in that order. */
export async function lostConnections(
  tx: Tx,
  tenantId: string,
  since: Date,
  limit: number,
): Promise<{ deviceId: string; ts: number }[]> {
  const { rows } = await sql<{ device_id: string; disconnected_at: Date }>`
    select device_id, disconnected_at from device_states
    where tenant_id = ${tenantId} and disconnected_at > ${since}
      and disconnect_reason like any(${LOST}::text[])
    order by disconnected_at limit ${limit}`.execute(tx);
  return rows.map((row) => ({ deviceId: row.device_id, ts: row.disconnected_at.getTime() }));
}

/** What the gateway calls connections that ended without a word of the device. */
const LOST = ["the device closed the connection", "connection error:%", "nothing heard%"];
