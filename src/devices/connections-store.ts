import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { lateAt } from "./presence.ts";
import type { PresenceSettings } from "./types.ts";

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
  settings: PresenceSettings,
): Promise<{ deviceId: string; presence: "online" }[]> {
  const gateways = events.map(({ change }) => (change.kind === "began" ? change.gatewayId : null));
  const reasons = events.map(({ change }) => (change.kind === "ended" ? change.reason : null));
  const { rows } = await sql<{ deviceId: string; presence: "online" }>`
    with events as (
      select e.*, s.presence as old_presence
      from unnest(
        ${events.map((event) => event.deviceId)}::text[],
        ${events.map((event) => event.connectionId)}::text[], ${gateways}::text[],
        ${reasons}::text[], ${events.map((event) => new Date(event.at))}::timestamptz[],
        ${events.map((event) => new Date(lateAt(event.at, settings)))}::timestamptz[]
      ) as e(device_id, connection_id, gateway_id, reason, at, deadline_at)
      join device_states s using (device_id)
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
        presence_deadline_at = greatest(s.presence_deadline_at, e.deadline_at)
      from events e where s.device_id = e.device_id and e.gateway_id is not null
    ), ended as (
      update device_states s set
        connected = false, disconnected_at = e.at, disconnect_reason = e.reason
      from events e where s.device_id = e.device_id and e.gateway_id is null
    )
    select device_id as "deviceId", 'online' as presence from events
    where gateway_id is not null and old_presence <> 'online'`.execute(tx);
  return rows;
}

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
