import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { Assignment, Envelope } from "../protocol/index.ts";
import type { Pace } from "./pacing-store.ts";
import type { RolloutPolicy } from "./policy.ts";
import type { DeviceState } from "./states.ts";

/** A device that is to be told something, with what has to be known to write the assignment. */
export interface AddressedDevice {
  device_id: string;
  stage_index: number;
  state: DeviceState;
  update_id: string;
  target_release_id: string;
  target_sha256: string;
  excluded_reason: string | null;
  cohort: number;
  is_absent: boolean;
  sequence: number;
  connected: boolean;
  formats: string[];
  firmware_sha256: string | null;
  other_slot_sha256: string | null;
  secure_boot: boolean;
  /** What it was told before in this rollout. */
  last_action: string | null;
  /** Whether it was offered anything in this rollout before. */
  was_offered: boolean;
}

/** Pending devices looked at to find those whose site has a place free. */
const PACED_SCAN = 5_000;

/**
 * The next devices of the stages up to `stageIndex`, each with a new sequence number. A pace leaves
 * out those whose window is closed or whose site is busy; a device that is away takes no place
 * until it comes for its offer.
 */
export async function takePending(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  stageIndex: number,
  limit: number,
  pace?: Pace,
): Promise<AddressedDevice[]> {
  if (pace) {
    const chosen = takePaced(tenantId, rolloutId, stageIndex, limit, pace);
    return address(tx, tenantId, rolloutId, chosen);
  }
  return address(
    tx,
    tenantId,
    rolloutId,
    sql`select device_id from rollout_devices
        where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and state = 'pending'
          and stage_index <= ${stageIndex}
        order by stage_index, ordinal limit ${limit}`,
  );
}

function takePaced(
  tenantId: string,
  rolloutId: string,
  stageIndex: number,
  limit: number,
  { openZones, room, atMost, busy }: Pace,
) {
  const sites = [...busy.keys()];
  const full = sites.filter((site) => site !== "" && (busy.get(site) ?? 0) >= (atMost ?? Infinity));
  const free = sql`(a.site is null or a.rank <= ${atMost ?? 2_147_483_647}::int
    - coalesce(b.devices, 0))`;
  return sql`
    select a.device_id from (
      select d.device_id, d.site, s.connected, d.stage_index, d.ordinal,
             row_number() over (partition by d.site, s.connected
                                order by d.stage_index, d.ordinal) as rank,
             row_number() over (partition by s.connected
                                order by d.stage_index, d.ordinal) as place
      from (select device_id, site, stage_index, ordinal from rollout_devices
            where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and state = 'pending'
              and stage_index <= ${stageIndex}
              and (${openZones === null} or zone = any(${openZones ?? []}::text[]))
              and (site is null or not site = any(${full}::text[]))
            order by stage_index, ordinal limit ${PACED_SCAN}) d
      join device_states s on s.tenant_id = ${tenantId} and s.device_id = d.device_id) a
    left join unnest(${sites}::text[], ${[...busy.values()]}::int[]) b(site, devices)
      on b.site = a.site
    where not a.connected or (${free} and a.place <= ${room}::bigint)
    order by a.stage_index, a.ordinal limit ${limit}`;
}

/** Devices to which a cancellation has to be said, each with a new sequence number. */
export async function takeToCancel(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  fromStage: number,
  limit: number,
): Promise<AddressedDevice[]> {
  return address(
    tx,
    tenantId,
    rolloutId,
    sql`select device_id from rollout_devices
        where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and cancelled_at is null
          and stage_index >= ${fromStage}
          and state in ('offered', 'downloading', 'installing', 'rebooting', 'confirming')
          and not (state = 'offered' and phase_deadline_at is null)
        order by device_id limit ${limit}`,
  );
}

async function address(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  chosen: ReturnType<typeof sql>,
): Promise<AddressedDevice[]> {
  const { rows } = await sql<AddressedDevice>`
    with chosen as (${chosen}),
    states as (
      select s.device_id from device_states s
      where s.tenant_id = ${tenantId} and s.device_id in (select device_id from chosen)
      order by s.device_id for update),
    raised as (
      update device_states s set assignment_sequence = s.assignment_sequence + 1
      from states where s.tenant_id = ${tenantId} and s.device_id = states.device_id
      returning s.device_id, s.assignment_sequence, s.connected, s.formats, s.firmware_sha256,
                s.other_slot_sha256, s.secure_boot)
    select d.device_id, d.stage_index, d.state, d.update_id, d.target_release_id, d.target_sha256,
           d.excluded_reason, d.cohort, d.is_absent, d.offered_at is not null as was_offered,
           a.assignment_sequence as sequence, a.connected, a.formats,
           a.firmware_sha256, a.other_slot_sha256, a.secure_boot,
           d.assignment->'signed'->>'action' as last_action
    from raised a join rollout_devices d
      on d.tenant_id = ${tenantId} and d.rollout_id = ${rolloutId} and d.device_id = a.device_id
    order by d.device_id for update of d`.execute(tx);
  return rows;
}

export interface Offered {
  deviceId: string;
  envelope: Envelope<Assignment>;
  deadlineAt: Date | null;
}

/** Pending devices that have their assignment now. */
export async function writeOffers(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  offers: readonly Offered[],
  now: Date,
): Promise<void> {
  if (offers.length === 0) return;
  await sql`
    update rollout_devices d
    set state = 'offered', assignment = o.assignment::jsonb, offered_at = ${now},
        phase_deadline_at = o.deadline_at, updated_at = ${now}
    from unnest(
      ${offers.map((offer) => offer.deviceId)}::text[],
      ${offers.map((offer) => JSON.stringify(offer.envelope))}::text[],
      ${offers.map((offer) => offer.deadlineAt)}::timestamptz[]
    ) as o(device_id, assignment, deadline_at)
    where d.tenant_id = ${tenantId} and d.rollout_id = ${rolloutId}
      and d.device_id = o.device_id`.execute(tx);
}

/** Devices that are told to stop; they have until the deadline to say that they did. */
export async function writeCancellations(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  offers: readonly Offered[],
  now: Date,
): Promise<void> {
  if (offers.length === 0) return;
  await sql`
    update rollout_devices d
    set cancelled_at = ${now}, assignment = o.assignment::jsonb, phase_deadline_at = o.deadline_at
    from unnest(
      ${offers.map((offer) => offer.deviceId)}::text[],
      ${offers.map((offer) => JSON.stringify(offer.envelope))}::text[],
      ${offers.map((offer) => offer.deadlineAt)}::timestamptz[]
    ) as o(device_id, assignment, deadline_at)
    where d.tenant_id = ${tenantId} and d.rollout_id = ${rolloutId}
      and d.device_id = o.device_id`.execute(tx);
}

export interface OpenAssignment {
  rollout_id: string;
  product: string;
  envelope: Envelope<Assignment>;
  state: DeviceState;
  phase_deadline_at: Date | null;
  policy: RolloutPolicy;
  kind: "update" | "rollback";
  site: string | null;
  zone: string | null;
}

/**
 * What a device is to do now: its latest open assignment. A paused rollout says nothing to those
 * who have not begun, nor does any update while the tenant's kill switch is on.
 */
export async function openAssignment(
  tx: Tx,
  tenantId: string,
  deviceId: string,
): Promise<OpenAssignment | undefined> {
  const { rows } = await sql<OpenAssignment>`
    select d.rollout_id, p.product, d.assignment as envelope, d.state, d.phase_deadline_at,
           r.policy, r.kind, d.site, d.zone
    from rollout_devices d
    join rollouts r on r.tenant_id = d.tenant_id and r.id = d.rollout_id
    join releases p on p.tenant_id = r.tenant_id and p.id = r.release_id
    where d.tenant_id = ${tenantId} and d.device_id = ${deviceId}
      and d.state in ('offered', 'downloading', 'installing', 'rebooting', 'confirming')
      and d.assignment is not null
      and (d.state <> 'offered' or d.cancelled_at is not null
           or (r.state in ('running', 'succeeded', 'failed')
               and (r.kind = 'rollback'
                    or not exists (select from rollout_stops t where t.tenant_id = d.tenant_id))))
    order by (d.assignment->'signed'->>'sequence')::bigint desc limit 1`.execute(tx);
  return rows[0];
}

/** Locks an offer that its device has not been told of; false where it has been, or is gone. */
export async function lockUntold(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  deviceId: string,
): Promise<boolean> {
  const { rows } = await sql`
    select 1 from rollout_devices
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and device_id = ${deviceId}
      and state = 'offered' and phase_deadline_at is null
    for no key update`.execute(tx);
  return rows.length > 0;
}

/** An offer has reached its device: from now on its deadline runs. */
export async function startOfferDeadline(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  deviceId: string,
  deadlineAt: Date,
): Promise<void> {
  await sql`
    update rollout_devices set phase_deadline_at = ${deadlineAt}
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId} and device_id = ${deviceId}
      and state = 'offered' and phase_deadline_at is null`.execute(tx);
}

/** Gives an offer that has expired unread a new life under a new sequence number. */
export async function renewAssignment(
  tx: Tx,
  tenantId: string,
  rolloutId: string,
  deviceId: string,
  envelope: Envelope<Assignment>,
): Promise<void> {
  await sql`
    update rollout_devices set assignment = ${JSON.stringify(envelope)}::jsonb
    where tenant_id = ${tenantId} and rollout_id = ${rolloutId}
      and device_id = ${deviceId}`.execute(tx);
}

export async function nextSequence(tx: Tx, tenantId: string, deviceId: string): Promise<number> {
  const { assignment_sequence } = await tx
    .updateTable("device_states")
    .set({ assignment_sequence: sql`assignment_sequence + 1` })
    .where("tenant_id", "=", tenantId)
    .where("device_id", "=", deviceId)
    .returning("assignment_sequence")
    .executeTakeFirstOrThrow();
  return assignment_sequence;
}
