import { sql } from "kysely";
import type { Tx } from "../../db/index.ts";
import type { SessionState } from "../sessions-store.ts";

/** An application that connects. */
export interface ClientClaim {
  clientKey: string;
  /** The process that takes the connection. */
  holder: string;
  /** Whether it wants to go on with the session that it had (Clean Start is 0). */
  resume: boolean;
  expirySeconds: number;
  /** JSON of its will. */
  will: string | undefined;
}

export interface ClaimedClient {
  epoch: number;
  resumed: boolean;
  state: SessionState;
}

const EMPTY = JSON.stringify({ subscriptions: [], inflight: [], received: [] });

/** Gives the client's session to the connection that asks; an earlier one has lost it. */
export async function claimClient(
  tx: Tx,
  tenantId: string,
  claim: ClientClaim,
  now: Date,
): Promise<ClaimedClient> {
  const { clientKey, holder, resume, expirySeconds, will = null } = claim;
  // MQTT 5.0 §3.1.2.4 [MQTT-3.1.2-4]: Clean Start discards what there was; so does the time.
  const goesOn = sql`excluded.resumed and s.expiry_seconds > 0
    and coalesce(s.expires_at > ${now}, true)`;
  // MQTT 5.0 §3.1.2.5: who is taken over has ended without a farewell; see sessions-store.ts.
  const isWillLeft = sql`s.armed_will is not null
    and not (${goesOn} and coalesce((s.armed_will ->> 'delaySeconds')::bigint, 0) > 0)`;
  const { rows } = await sql<ClaimedClient>`
    insert into application_sessions as s
      (tenant_id, client_key, epoch, holder, resumed, expiry_seconds, state, armed_will)
    values (${tenantId}, ${clientKey}, nextval('application_epochs'), ${holder}, ${resume},
            ${expirySeconds}, ${EMPTY}::jsonb, ${will}::jsonb)
    on conflict (tenant_id, client_key) do update set
      epoch = excluded.epoch, holder = excluded.holder, resumed = ${goesOn},
      expiry_seconds = excluded.expiry_seconds, expires_at = null,
      state = case when ${goesOn} then s.state else excluded.state end,
      will = case when ${isWillLeft} then s.armed_will when ${goesOn} then null else s.will end,
      will_at = case when ${isWillLeft} then ${now}::timestamptz
        when ${goesOn} or s.will is null then null else ${now}::timestamptz end,
      armed_will = excluded.armed_will
    returning epoch, xmax <> 0 and resumed as resumed, state`.execute(tx);
  const claimed = rows[0] as ClaimedClient;
  if (!claimed.resumed) {
    await tx.deleteFrom("application_messages").where("client_key", "=", clientKey).execute();
  }
  return claimed;
}

/** Sessions that a tenant keeps besides this client's. */
export async function countKept(tx: Tx, clientKey: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from application_sessions
    where expiry_seconds > 0 and client_key <> ${clientKey}`.execute(tx);
  return rows[0]?.count ?? 0;
}

/** Writes the state; false where the session is a newer connection's. */
export async function saveClient(
  tx: Tx,
  clientKey: string,
  epoch: number,
  state: SessionState,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("application_sessions")
    .set({ state: JSON.stringify(state) })
    .where("client_key", "=", clientKey)
    .where("epoch", "=", epoch)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export interface ClientEnd {
  clientKey: string;
  epoch: number;
  expirySeconds: number;
  expiresAt: Date;
  state: SessionState;
  /** A will that waits, and until when. */
  will?: { body: string; at: Date } | undefined;
}

/** The connection has ended; what is neither kept nor left as a will is forgotten. */
export async function endClient(tx: Tx, end: ClientEnd): Promise<void> {
  const { clientKey, epoch, expirySeconds, expiresAt, will } = end;
  await sql`
    update application_sessions set expiry_seconds = ${expirySeconds}, expires_at = ${expiresAt},
      state = ${JSON.stringify(end.state)}::jsonb, armed_will = null,
      will = coalesce(${will?.body ?? null}::jsonb, will),
      will_at = coalesce(${will?.at ?? null}::timestamptz, will_at)
    where client_key = ${clientKey} and epoch = ${epoch}`.execute(tx);
  await forgetEnded(tx, new Date(expiresAt.getTime() - expirySeconds * 1_000));
}

/** MQTT 5.0 §3.1.2.11.2: what has expired is gone, but for a will that is to be published yet. */
export async function forgetEnded(tx: Tx, now: Date): Promise<void> {
  await sql`
    update application_sessions set will_at = least(will_at, ${now}::timestamptz)
    where expires_at <= ${now} and will_at > ${now}`.execute(tx);
  await sql`delete from application_sessions where expires_at <= ${now} and will is null`.execute(
    tx,
  );
}

/** Sessions whose process has died without a word. */
export async function orphanClients(tx: Tx, holder: string, now: Date): Promise<void> {
  await sql`
    update application_sessions set
      expires_at = ${now}::timestamptz + make_interval(secs => expiry_seconds),
      will = coalesce(armed_will, will),
      will_at = case when armed_will is null then will_at
        else ${now}::timestamptz + make_interval(secs =>
          least(coalesce((armed_will ->> 'delaySeconds')::bigint, 0), expiry_seconds)) end,
      armed_will = null
    where holder = ${holder} and expires_at is null`.execute(tx);
}

export async function dueClientWills(
  tx: Tx,
  now: Date,
): Promise<{ clientKey: string; will: unknown; at: Date }[]> {
  const { rows } = await sql<{ clientKey: string; will: unknown; at: Date }>`
    select client_key as "clientKey", will, will_at as at from application_sessions
    where will_at <= ${now} and will is not null order by will_at limit 100
    for update skip locked`.execute(tx);
  return rows;
}

export async function forgetClientWill(tx: Tx, clientKey: string, at: Date): Promise<void> {
  await tx
    .updateTable("application_sessions")
    .set({ will: null, will_at: null })
    .where("client_key", "=", clientKey)
    .where("will_at", "=", at)
    .execute();
}
