import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { CALM_DROPS } from "./health.ts";
import { storeIncidents } from "./incidents-store.ts";
import { fadedDrops } from "./link-drops.ts";
import { lateAt, nextPresence } from "./presence.ts";
import type {
  DeviceStatus,
  Incident,
  Presence,
  PresenceChange,
  PresenceRule,
  PresenceRules,
} from "./types.ts";

/** Devices that one call moves; the caller comes back for the rest. */
export const PRESENCE_BATCH = 1_000;

/** Deadlines that one statement puts off. */
export const POSTPONE_BATCH = 5_000;

interface DueRow {
  device_id: string;
  presence: Presence;
  last_seen_at: Date | null;
  status: DeviceStatus;
  product: string;
  firmware_sha256: string | null;
  asleep_until: Date | null;
  jitter_ms: number;
  /** The gateway by whose word it is connected. */
  gateway_id: string | null;
}

/** The least time until a device whose gateway is away is looked at again. */
const HOLD_MS = 60_000;

/**
 * The silence of a device is an incident, like a crash: a device that an update has killed tells of it
 * by nothing else. Of a device that people have taken out of service it is none.
 */
function silenceOf(tenantId: string, nowMs: number): (row: DueRow) => Incident[] {
  return ({ device_id, last_seen_at, firmware_sha256, status }) => {
    if (status !== "active") return [];
    const since = last_seen_at?.getTime() ?? nowMs;
    return [
      {
        tenantId,
        deviceId: device_id,
        kind: "silence",
        key: `silence:${since}`,
        occurredAt: nowMs,
        firmwareSha256: firmware_sha256,
        details: { lastSeenAt: new Date(since).toISOString() },
      },
    ];
  };
}

/** For what no device is to blame. */
export interface PresenceMercy {
  /** Whether nothing can be known of those that are connected to a gateway. */
  isHeld(gatewayId: string): boolean;
  /** Until when silence is that of the platform. */
  graceUntil: number;
}

/**
 * Moves the devices whose deadline has passed; reads no others (index `device_states_due`). Of a device
 * that is connected to a gateway of which `isHeld` says so nothing can be known: it is put off.
 */
export async function moveDuePresence(
  tx: Tx,
  tenantId: string,
  rules: PresenceRules,
  nowMs: number,
  { isHeld, graceUntil }: PresenceMercy,
): Promise<{ due: number; changes: PresenceChange[] }> {
  // One look into `devices` for each: a plan that reads them all is never worth it.
  const { rows } = await sql<DueRow>`
    with due as materialized (
      select s.device_id, s.presence, s.last_seen_at, s.firmware_sha256, s.asleep_until,
             s.heartbeat_jitter_ms as jitter_ms, s.presence_deadline_at,
             case when s.connected then s.gateway_id end as gateway_id
      from device_states s where s.presence_deadline_at <= ${new Date(nowMs)}
      order by s.presence_deadline_at limit ${PRESENCE_BATCH}
      for update of s skip locked)
    select due.*, d.status, d.product from due cross join lateral (
      select status, product from devices
      where tenant_id = ${tenantId} and id = due.device_id offset 0) d`.execute(tx);
  if (rows.length === 0) return { due: 0, changes: [] };
  const steps = rows.map((row) => {
    const rule = rules.products.get(row.product) ?? rules.usual;
    // Before it nobody could be heard; each is put off when its turn comes, and no fleet at once.
    const isEarly = nowMs < graceUntil && row.last_seen_at !== null;
    const again = { presence: row.presence, deadlineAt: graceUntil };
    return { ...row, next: isEarly ? again : stepOf(row, rule, nowMs, isHeld) };
  });
  const deadlines = steps.map(({ next }) =>
    next.deadlineAt === null ? null : new Date(next.deadlineAt),
  );
  await sql`
    update device_states s set
      presence = n.presence, presence_deadline_at = n.deadline_at,
      presence_changed_at = case when s.presence = n.presence then s.presence_changed_at
                                 else ${new Date(nowMs)} end,
      health_due_at = case when s.presence = n.presence then s.health_due_at
                           else least(s.health_due_at, ${new Date(nowMs)}) end
    from unnest(${steps.map((step) => step.device_id)}::text[],
                ${steps.map((step) => step.next.presence)}::text[],
                ${deadlines}::timestamptz[]) as n(device_id, presence, deadline_at)
    where s.device_id = n.device_id`.execute(tx);
  const changed = steps.filter((step) => step.next.presence !== step.presence);
  await storeIncidents(
    tx,
    tenantId,
    changed.filter((step) => step.next.presence === "offline").flatMap(silenceOf(tenantId, nowMs)),
    nowMs,
  );
  const told = changed.map((step) => ({
    deviceId: step.device_id,
    previous: step.presence,
    presence: step.next.presence,
    lastSeenAt: step.last_seen_at,
    status: step.status,
  }));
  return { due: rows.length, changes: told };
}

function stepOf(
  row: DueRow,
  rule: PresenceRule,
  nowMs: number,
  isHeld: (gatewayId: string) => boolean,
): ReturnType<typeof nextPresence> {
  if (row.gateway_id !== null && isHeld(row.gateway_id)) {
    const again = Math.max(lateAt(nowMs, rule), nowMs + HOLD_MS);
    return { presence: row.presence, deadlineAt: again };
  }
  const heard = {
    lastSeenAt: row.last_seen_at?.getTime() ?? null,
    asleepUntil: row.asleep_until?.getTime() ?? null,
    jitterMs: row.jitter_ms,
  };
  return nextPresence(row.presence, heard, rule, nowMs);
}

export interface Silence {
  /** Devices in service that went offline since the moment asked for, and are. */
  devices: number;
  /** Some of them, by name. */
  deviceIds: string[];
  /** Devices in service that have ever been heard. */
  known: number;
  /** Devices that have fallen silent since then, back or not. */
  fallen: number;
}

/** Names in one answer. */
const NAMED_DEVICES = 200;

/** How silent the fleet has become since `since` (index `device_states_by_change`). */
export async function readSilence(
  tx: Tx,
  tenantId: string,
  since: Date,
): Promise<Omit<Silence, "known">> {
  const { rows } = await sql<Omit<Silence, "known">>`
    with silent as materialized (
      select s.device_id from device_states s cross join lateral (
        select 1 from devices d
        where d.tenant_id = ${tenantId} and d.id = s.device_id and d.status = 'active' offset 0) d
      where s.tenant_id = ${tenantId} and s.presence = 'offline'
        and s.presence_changed_at >= ${since})
    select (select count(*) from silent) as devices,
           array(select device_id from silent order by device_id limit ${NAMED_DEVICES})
             as "deviceIds",
           (select count(distinct device_id) from device_incidents
            where tenant_id = ${tenantId} and kind = 'silence' and occurred_at >= ${since})
             as fallen`.execute(tx);
  return rows[0] as Omit<Silence, "known">;
}

/** Devices in service that have ever been heard: reads them all. */
export async function countKnown(tx: Tx, tenantId: string): Promise<number> {
  const { rows } = await sql<{ known: number }>`
    select count(*) as known from device_states s
    join devices d on d.tenant_id = s.tenant_id and d.id = s.device_id
    where s.tenant_id = ${tenantId} and s.presence <> 'never' and d.status = 'active'`.execute(tx);
  return rows[0]?.known ?? 0;
}

/** Silences between two moments: what is usual for a tenant's fleet. */
export async function countSilences(tx: Tx, from: Date, to: Date): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) from device_incidents
    where kind = 'silence' and occurred_at >= ${from} and occurred_at < ${to}`.execute(tx);
  return rows[0]?.count ?? 0;
}

/** Gateways that have said since then that they live. */
export async function readLiveGateways(tx: Tx, since: Date): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`select vautn.live_gateways(${since}) as id`.execute(
    tx,
  );
  return rows.map(({ id }) => id);
}

/** Gateways to which devices of the tenant are connected, by what was written last. */
export async function readGatewaysInUse(tx: Tx, tenantId: string): Promise<string[]> {
  const { rows } = await sql<{
    id: string;
  }>`select vautn.gateways_holding(${tenantId}) as id`.execute(tx);
  return rows.map(({ id }) => id);
}

/**
 * Those of the given devices, in service, that are offline or whose link breaks again and again: the
 * alert about one that comes and goes stays one alert.
 */
export async function findSilent(
  tx: Tx,
  tenantId: string,
  deviceIds: readonly string[],
  now: Date,
): Promise<{ deviceId: string; lastSeenAt: Date | null }[]> {
  const { rows } = await sql<{ deviceId: string; lastSeenAt: Date | null }>`
    select s.device_id as "deviceId", s.last_seen_at as "lastSeenAt" from device_states s
    join devices d on d.tenant_id = s.tenant_id and d.id = s.device_id
    where s.tenant_id = ${tenantId} and s.device_id = any(${[...deviceIds]}::text[])
      and (s.presence = 'offline' or ${fadedDrops(sql`${now}::timestamptz`)} >= ${CALM_DROPS})
      and d.status = 'active'`.execute(tx);
  return rows;
}

/** Puts a batch of the deadlines before `until` off to it; returns how many, so that one comes again. */
export async function postponeDeadlines(tx: Tx, until: Date): Promise<number> {
  const { rows } = await sql`
    with early as materialized (
      select device_id from device_states where presence_deadline_at < ${until}
      order by presence_deadline_at limit ${POSTPONE_BATCH} for update skip locked)
    update device_states s set presence_deadline_at = ${until}
    from early where s.device_id = early.device_id returning 1`.execute(tx);
  return rows.length;
}
