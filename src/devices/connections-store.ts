import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { FLAPPING_DROPS, MAX_DROPS } from "./health.ts";
import { fadedDrops } from "./link-drops.ts";
import { LATE_AFTER_INTERVALS } from "./presence.ts";
import { intervalColumns, ruleSource } from "./presence-rules-store.ts";
import type { PresenceRules } from "./types.ts";

/** A connection began or ended at a gateway. */
export interface ConnectionEvent {
  tenantId: string;
  deviceId: string;
  connectionId: string;
  at: number;
  change: { kind: "began"; gatewayId: string } | { kind: "ended"; reason: string };
}

/**
 * The event that counts for each device of a batch. The end of a connection that another one has
 * replaced meanwhile says nothing about the device.
 */
export function latestConnections(batch: readonly ConnectionEvent[]): ConnectionEvent[] {
  const latest = new Map<string, ConnectionEvent>();
  for (const event of batch) {
    const earlier = latest.get(event.deviceId);
    const replaced =
      event.change.kind === "ended" &&
      earlier?.change.kind === "began" &&
      earlier.connectionId !== event.connectionId;
    if (!replaced) latest.set(event.deviceId, event);
  }
  return [...latest.values()];
}

/**
 * Writes one event per device in one statement; returns the devices whose presence changed. A
 * device that connects lives, so it counts as online until its next heartbeat is due.
 */
export async function storeConnections(
  tx: Tx,
  events: readonly ConnectionEvent[],
  rules: PresenceRules,
): Promise<{ deviceId: string; presence: "online" }[]> {
  const gateways = events.map(({ change }) => (change.kind === "began" ? change.gatewayId : null));
  const reasons = events.map(({ change }) => (change.kind === "ended" ? change.reason : null));
  const { rows } = await sql<{ deviceId: string; presence: "online" }>`
    with events as (
      select e.*, s.presence as old_presence, ${intervalColumns(rules)}, ${isDrop} as dropped,
             case when ${isDrop} then least(${fadedDrops(sql`e.at`)} + 1, ${MAX_DROPS})
                  else s.link_drops end as drops
      from unnest(
        ${events.map((event) => event.deviceId)}::text[],
        ${events.map((event) => event.connectionId)}::text[], ${gateways}::text[],
        ${reasons}::text[], ${events.map((event) => new Date(event.at))}::timestamptz[]
      ) as e(device_id, connection_id, gateway_id, reason, at)
      join device_states s using (device_id) ${ruleSource(rules)}
      where e.gateway_id is not null or s.connection_id = e.connection_id
      order by s.device_id
      for update of s
    ), began as (
      update device_states s set
        connected = true, gateway_id = e.gateway_id, connection_id = e.connection_id,
        connected_at = e.at, last_seen_at = greatest(s.last_seen_at, e.at),
        presence = 'online',
        presence_changed_at = case when s.presence = 'online' then s.presence_changed_at
                                   else e.at end,
        presence_deadline_at = greatest(s.presence_deadline_at,
          e.at + make_interval(secs => ${LATE_AFTER_INTERVALS} * e.interval_seconds)),
        link_drops = e.drops,
        link_drops_at = case when e.dropped then e.at else s.link_drops_at end,
        health_due_at = ${healthDue}
      from events e where s.device_id = e.device_id and e.gateway_id is not null
    ), ended as (
      update device_states s set
        connected = false, disconnected_at = e.at, disconnect_reason = e.reason,
        link_drops = e.drops,
        link_drops_at = case when e.dropped then e.at else s.link_drops_at end,
        health_due_at = ${healthDue}
      from events e where s.device_id = e.device_id and e.gateway_id is null
    )
    select device_id as "deviceId", 'online' as presence from events
    where gateway_id is not null and old_presence <> 'online'`.execute(tx);
  return rows;
}

/** Ends that say nothing about the link: the device's own word, and the platform's. */
const QUIET_ENDS = ["the device disconnected", "the gateway stops", "the gateway restarted"];

/** Who comes anew while it seems connected, or went without a word, has lost its link. */
const isDrop = sql`((e.gateway_id is not null and s.connected)
  or (e.gateway_id is null and e.reason not in (${sql.join(QUIET_ENDS)})))`;

/** Its health is judged anew when it is back, and when its link breaks again and again. */
const healthDue = sql`case
  when (s.presence <> 'online' and e.gateway_id is not null)
    or (e.dropped and e.drops >= ${FLAPPING_DROPS})
  then least(s.health_due_at, e.at) else s.health_due_at end`;

/** A gateway that starts holds no connection, whatever its predecessor wrote. */
export async function releaseGateway(tx: Tx, gatewayId: string, now: Date): Promise<number> {
  const { numUpdatedRows } = await tx
    .updateTable("device_states")
    .set({ connected: false, disconnected_at: now, disconnect_reason: "the gateway restarted" })
    .where("gateway_id", "=", gatewayId)
    .where("connected", "=", true)
    .executeTakeFirst();
  return Number(numUpdatedRows);
}
