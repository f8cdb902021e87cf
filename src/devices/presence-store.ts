import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storeIncidents } from "./incidents-store.ts";
import { nextPresence } from "./presence.ts";
import type {
  DeviceStatus,
  Incident,
  Presence,
  PresenceChange,
  PresenceSettings,
} from "./types.ts";

/** Devices that one call moves; the caller comes back for the rest. */
export const PRESENCE_BATCH = 1_000;

interface DueRow {
  device_id: string;
  presence: Presence;
  last_seen_at: Date | null;
  status: DeviceStatus;
  firmware_sha256: string | null;
}

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

/** Moves the devices whose deadline has passed; reads no others (index `device_states_due`). */
export async function moveDuePresence(
  tx: Tx,
  tenantId: string,
  settings: PresenceSettings,
  nowMs: number,
): Promise<PresenceChange[]> {
  const { rows } = await sql<DueRow>`
    select s.device_id, s.presence, s.last_seen_at, s.firmware_sha256, d.status
    from device_states s join devices d on d.tenant_id = s.tenant_id and d.id = s.device_id
    where s.presence_deadline_at <= ${new Date(nowMs)}
    order by s.presence_deadline_at limit ${PRESENCE_BATCH}
    for update of s skip locked`.execute(tx);
  if (rows.length === 0) return [];
  const steps = rows.map((row) => ({
    ...row,
    next: nextPresence(row.presence, row.last_seen_at?.getTime() ?? null, settings, nowMs),
  }));
  const deadlines = steps.map(({ next }) =>
    next.deadlineAt === null ? null : new Date(next.deadlineAt),
  );
  await sql`
    update device_states s set
      presence = n.presence, presence_deadline_at = n.deadline_at,
      presence_changed_at = case when s.presence = n.presence then s.presence_changed_at
                                 else ${new Date(nowMs)} end
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
  return changed.map((step) => ({
    deviceId: step.device_id,
    previous: step.presence,
    presence: step.next.presence,
    lastSeenAt: step.last_seen_at,
    status: step.status,
  }));
}

export interface Silence {
  /** Devices in service that went offline since the moment asked for, and are. */
  devices: number;
  /** Some of them, by name. */
  deviceIds: string[];
  /** Devices in service that have ever been heard. */
  known: number;
}

/** Names in one answer. */
const NAMED_DEVICES = 200;

/** How silent the fleet has become since `since` (index `device_states_by_change`). */
export async function readSilence(tx: Tx, tenantId: string, since: Date): Promise<Silence> {
  const { rows } = await sql<{ devices: number; deviceIds: string[]; known: number }>`
    with silent as (
      select s.device_id from device_states s
      join devices d on d.tenant_id = s.tenant_id and d.id = s.device_id
      where s.tenant_id = ${tenantId} and s.presence = 'offline'
        and s.presence_changed_at >= ${since} and d.status = 'active')
    select (select count(*) from silent) as devices,
           array(select device_id from silent order by device_id limit ${NAMED_DEVICES})
             as "deviceIds",
           (select count(*) from device_states s
            join devices d on d.tenant_id = s.tenant_id and d.id = s.device_id
            where s.tenant_id = ${tenantId} and s.presence <> 'never' and d.status = 'active')
             as known`.execute(tx);
  return rows[0] as Silence;
}

/** Those of the given devices that are offline and in service. */
export async function findSilent(
  tx: Tx,
  tenantId: string,
  deviceIds: readonly string[],
): Promise<{ deviceId: string; lastSeenAt: Date | null }[]> {
  const { rows } = await sql<{ deviceId: string; lastSeenAt: Date | null }>`
    select s.device_id as "deviceId", s.last_seen_at as "lastSeenAt" from device_states s
    join devices d on d.tenant_id = s.tenant_id and d.id = s.device_id
    where s.tenant_id = ${tenantId} and s.device_id = any(${[...deviceIds]}::text[])
      and s.presence = 'offline' and d.status = 'active'`.execute(tx);
  return rows;
}

/** Puts every deadline before `until` off to it; returns how many there were. */
export async function postponeDeadlines(tx: Tx, until: Date): Promise<number> {
  const { numUpdatedRows } = await tx
    .updateTable("device_states")
    .set({ presence_deadline_at: until })
    .where("presence_deadline_at", "<", until)
    .executeTakeFirst();
  return Number(numUpdatedRows);
}
