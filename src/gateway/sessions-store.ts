import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

/** What is kept of a session between its connections; packet identifiers in both directions. */
export interface SessionState {
  subscriptions: StoredSubscription[];
  /** Commands sent with QoS 1 or 2; released ones wait for their PUBCOMP alone. */
  inflight: { id: number; command: string | null; released: boolean }[];
  /** QoS 2 messages of the device that are durable and not released yet. */
  received: number[];
}

export interface StoredSubscription {
  filter: string;
  qos: 0 | 1 | 2;
  identifier?: number;
  noLocal?: boolean;
  retainAsPublished?: boolean;
}

/** A device that connects. */
export interface SessionClaim {
  deviceId: string;
  /** Whether it wants to go on with the session that it had (Clean Start is 0). */
  resume: boolean;
  expirySeconds: number;
  /** JSON of the will of this connection. */
  will?: string | undefined;
}

/** What a connection is given. */
export interface ClaimedSession {
  epoch: number;
  resumed: boolean;
  state: SessionState;
  /** The gateway of the connection before this one. */
  formerGatewayId: string | null;
}

/** The state of a session, and how it goes on if its connection has ended. */
export interface SessionSave {
  deviceId: string;
  epoch: number;
  state: SessionState;
  ended?: {
    expirySeconds: number;
    expiresAt: Date;
    /** JSON of a will that waits, and until when. */
    will?: { body: string; at: Date };
    /** Whether the will of the connection is being published, and is disarmed after that only. */
    keepsArmed?: boolean;
  };
}

const EMPTY: SessionState = { subscriptions: [], inflight: [], received: [] };

/**
 * Gives each device's session to the connection that asks; no device twice in one call. A device
 * that the registry does not know has no row in the answer, and no session.
 */
export async function claimSessions(
  tx: Tx,
  tenantId: string,
  gatewayId: string,
  claims: readonly SessionClaim[],
  now: Date,
): Promise<Map<string, ClaimedSession>> {
  // MQTT 5.0 §3.1.2.4 [MQTT-3.1.2-4]: Clean Start discards what there was; so does the time.
  const goesOn = sql`excluded.resumed and s.expiry_seconds > 0
    and coalesce(s.expires_at > ${now}, true)`;
  // MQTT 5.0 §3.1.2.5 [MQTT-3.1.2-8]: the connection that is taken over, or whose gateway died
  // unnoticed, has ended without a farewell. Its will is due now, unless it waits along.
  const isWillLeft = sql`s.armed_will is not null
    and not (${goesOn} and coalesce((s.armed_will ->> 'delaySeconds')::bigint, 0) > 0)`;
  const { rows } = await sql<ClaimedSession & { deviceId: string }>`/* prepared: claim-sessions */
    insert into mqtt_sessions as s
      (tenant_id, device_id, epoch, gateway_id, resumed, expiry_seconds, state, armed_will)
    select ${tenantId}, d.id, 1, ${gatewayId}, a.resume, a.expiry_seconds,
           ${JSON.stringify(EMPTY)}::jsonb, a.will
    from unnest(${claims.map((claim) => claim.deviceId)}::text[],
                ${claims.map((claim) => claim.resume)}::boolean[],
                ${claims.map((claim) => claim.expirySeconds)}::bigint[],
                ${claims.map((claim) => claim.will ?? null)}::jsonb[])
      as a(device_id, resume, expiry_seconds, will)
    join devices d on d.id = a.device_id
    order by d.id
    on conflict (tenant_id, device_id) do update set
      epoch = s.epoch + 1, former_gateway_id = s.gateway_id, gateway_id = excluded.gateway_id,
      resumed = ${goesOn}, expiry_seconds = excluded.expiry_seconds, expires_at = null,
      state = case when ${goesOn} then s.state else excluded.state end,
      -- MQTT 5.0 §3.1.3.2.2 [MQTT-3.1.3-9]: who is back in time has no will; who begins anew has
      -- ended the session that it belonged to, and with it the wait.
      will = case when ${isWillLeft} then s.armed_will when ${goesOn} then null else s.will end,
      will_at = case when ${isWillLeft} then ${now}::timestamptz
        when ${goesOn} or s.will is null then null else ${now}::timestamptz end,
      armed_will = excluded.armed_will
    returning s.device_id as "deviceId", s.epoch, s.epoch > 1 and s.resumed as resumed, s.state,
              s.former_gateway_id as "formerGatewayId"`.execute(tx);
  return new Map(rows.map(({ deviceId, ...session }) => [deviceId, session]));
}

/** Writes states; answers the devices whose session is still the given connection's. */
export async function saveSessions(tx: Tx, saves: readonly SessionSave[]): Promise<Set<string>> {
  const ended = saves.map((save) => save.ended);
  const { rows } = await sql<{ deviceId: string; epoch: number }>`/* prepared: save-sessions */
    update mqtt_sessions s set
      state = a.state,
      expiry_seconds = coalesce(a.expiry_seconds, s.expiry_seconds),
      expires_at = a.expires_at, will = coalesce(a.will, s.will),
      will_at = coalesce(a.will_at, s.will_at),
      armed_will = case when a.disarms then null else s.armed_will end
    from unnest(
      ${saves.map((save) => save.deviceId)}::text[], ${saves.map((save) => save.epoch)}::bigint[],
      ${saves.map((save) => JSON.stringify(save.state))}::jsonb[],
      ${ended.map((end) => end?.expirySeconds ?? null)}::bigint[],
      ${ended.map((end) => end?.expiresAt ?? null)}::timestamptz[],
      ${ended.map((end) => end?.will?.body ?? null)}::jsonb[],
      ${ended.map((end) => end?.will?.at ?? null)}::timestamptz[],
      ${ended.map((end) => end !== undefined && !end.keepsArmed)}::boolean[]
    ) as a(device_id, epoch, state, expiry_seconds, expires_at, will, will_at, disarms)
    where s.device_id = a.device_id and s.epoch = a.epoch
    returning s.device_id as "deviceId", s.epoch`.execute(tx);
  return new Set(rows.map(({ deviceId, epoch }) => keyOf({ deviceId, epoch })));
}

/** Names a session in the hands of one connection. */
export function keyOf({ deviceId, epoch }: { deviceId: string; epoch: number }): string {
  return `${epoch}/${deviceId}`;
}

/**
 * Sessions whose gateway has died without a word: their time runs from now, and their wills wait
 * for their delay or for the session's end (MQTT 5.0 §3.1.3.2.2).
 */
export async function orphanSessions(tx: Tx, gatewayId: string, now: Date): Promise<void> {
  await sql`
    update mqtt_sessions set
      expires_at = case when expires_at is null and expiry_seconds > 0
        then ${now}::timestamptz + make_interval(secs => expiry_seconds) else expires_at end,
      will = coalesce(armed_will, will),
      will_at = case when armed_will is null then will_at
        else ${now}::timestamptz + make_interval(secs =>
          least(coalesce((armed_will ->> 'delaySeconds')::bigint, 0), expiry_seconds)) end,
      armed_will = null
    where gateway_id = ${gatewayId}
      and (armed_will is not null or (expires_at is null and expiry_seconds > 0))`.execute(tx);
}

/** What became of the will of a connection that has ended. */
export interface WillOutcome {
  deviceId: string;
  epoch: number;
  isPublished: boolean;
}

/** Disarms wills that are published; the others become due, and are tried again. */
export async function settleWills(
  tx: Tx,
  outcomes: readonly WillOutcome[],
  now: Date,
): Promise<void> {
  await sql`
    update mqtt_sessions s set armed_will = null,
      will = case when a.is_published then s.will else s.armed_will end,
      will_at = case when a.is_published then s.will_at else ${now}::timestamptz end
    from unnest(${outcomes.map(({ deviceId }) => deviceId)}::text[],
                ${outcomes.map(({ epoch }) => epoch)}::bigint[],
                ${outcomes.map(({ isPublished }) => isPublished)}::boolean[])
      as a(device_id, epoch, is_published)
    where s.device_id = a.device_id and s.epoch = a.epoch and s.armed_will is not null`.execute(tx);
}

/** Sessions that one call ends; the caller comes back for the rest. */
const EXPIRY_BATCH = 1_000;

/** MQTT 5.0 §3.1.2.11.2: forgets what has expired. The row stays, for its epoch. */
export async function expireSessions(tx: Tx, now: Date): Promise<number> {
  const { numAffectedRows } = await sql`
    update mqtt_sessions s set
      state = ${JSON.stringify(EMPTY)}::jsonb, expiry_seconds = 0, expires_at = null,
      -- MQTT 5.0 §3.1.3.2.2: a will waits no longer than its session.
      will_at = case when s.will is null then null else least(s.will_at, ${now}) end
    from (
      select device_id from mqtt_sessions where expires_at <= ${now}
      order by expires_at limit ${EXPIRY_BATCH} for update skip locked
    ) due
    where s.device_id = due.device_id`.execute(tx);
  return Number(numAffectedRows ?? 0);
}
