import { sql } from "kysely";
import type { Tx } from "../../db/index.ts";
import { storableJson } from "../../kernel/storable.ts";
import { type PassedMessage, restoredProperties, storedProperties } from "../passed-properties.ts";
import type { StoredSubscription } from "../sessions-store.ts";

/** What sessions that outlive their connection listen to. */
export async function keptSubscriptions(
  tx: Tx,
  now: Date,
): Promise<{ clientKey: string; subscriptions: StoredSubscription[] }[]> {
  const { rows } = await sql<{ clientKey: string; subscriptions: StoredSubscription[] }>`
    select client_key as "clientKey", state -> 'subscriptions' as subscriptions
    from application_sessions
    where expiry_seconds > 0 and coalesce(expires_at > ${now}, true)
    order by client_key`.execute(tx);
  return rows;
}

/** A message on its way to one client. */
export interface QueuedMessage extends PassedMessage {
  qos: 1 | 2;
  clientKey: string;
  retain: boolean;
  identifiers: number[];
}

/** How many messages wait for each client that any wait for. */
export async function queueLengths(tx: Tx): Promise<Map<string, number>> {
  const { rows } = await sql<{ clientKey: string; waiting: number }>`
    select client_key as "clientKey", count(*) as waiting
    from application_messages group by client_key`.execute(tx);
  return new Map(rows.map(({ clientKey, waiting }) => [clientKey, waiting]));
}

/** Queues messages, in their order. */
export async function queueMessages(
  tx: Tx,
  tenantId: string,
  messages: readonly QueuedMessage[],
): Promise<void> {
  if (messages.length === 0) return;
  const rows = messages.map((message) => ({
    client_key: message.clientKey,
    topic: message.topic,
    payload: message.payload.toString("base64"),
    qos: message.qos,
    retain: message.retain,
    properties: storedProperties(message.properties),
    identifiers: message.identifiers,
    expires_at: message.expiresAt === undefined ? null : new Date(message.expiresAt).toISOString(),
  }));
  await sql`
    insert into application_messages
      (tenant_id, client_key, topic, payload, qos, retain, properties, identifiers, expires_at)
    select ${tenantId}, r.client_key, r.topic, decode(r.payload, 'base64'), r.qos, r.retain,
           r.properties, r.identifiers, r.expires_at
    from rows from (json_to_recordset(${storableJson(rows)}::json) as (
      client_key text, topic text, payload text, qos smallint, retain boolean, properties json,
      identifiers integer[], expires_at timestamptz)) with ordinality
      as r(client_key, topic, payload, qos, retain, properties, identifiers, expires_at, place)
    order by r.place`.execute(tx);
}

export interface StoredMessage extends PassedMessage {
  seq: number;
  qos: 1 | 2;
  retain: boolean;
  identifiers: number[];
}

/** What waits for a client, in its order. */
export async function waitingMessages(
  tx: Tx,
  clientKey: string,
  limit: number,
  now: Date,
): Promise<StoredMessage[]> {
  const rows = await tx
    .selectFrom("application_messages")
    .selectAll()
    .where("client_key", "=", clientKey)
    .where((eb) => eb.or([eb("expires_at", "is", null), eb("expires_at", ">", now)]))
    .orderBy("seq")
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    seq: row.seq,
    topic: row.topic,
    payload: row.payload,
    qos: row.qos as 1 | 2,
    retain: row.retain,
    identifiers: row.identifiers,
    properties: restoredProperties(row.properties),
    expiresAt: row.expires_at?.getTime(),
  }));
}

export async function removeMessages(tx: Tx, clientKey: string, seqs: readonly number[]) {
  await sql`delete from application_messages
    where client_key = ${clientKey} and seq = any(${seqs}::bigint[])`.execute(tx);
}

/** Keeps the last message of a topic, or forgets it where that is empty; false beyond the limit. */
export async function retain(
  tx: Tx,
  tenantId: string,
  message: PassedMessage,
  limit: number,
): Promise<boolean> {
  const { topic, payload, qos } = message;
  // MQTT 5.0 §3.3.1.3 [MQTT-3.3.1-6], [MQTT-3.3.1-7]: an empty one removes what was kept.
  if (payload.length === 0) {
    await tx.deleteFrom("application_retained").where("topic", "=", topic).execute();
    return true;
  }
  const expiresAt = message.expiresAt === undefined ? null : new Date(message.expiresAt);
  const properties = storableJson(storedProperties(message.properties));
  const { numAffectedRows } = await sql`
    insert into application_retained (tenant_id, topic, payload, qos, properties, expires_at)
    select ${tenantId}, ${topic}, ${payload}, ${qos}, ${properties}::json, ${expiresAt}
    where exists (select from application_retained where topic = ${topic})
      or (select count(*) from application_retained) < ${limit}
    on conflict (tenant_id, topic) do update set payload = excluded.payload, qos = excluded.qos,
      properties = excluded.properties, expires_at = excluded.expires_at`.execute(tx);
  return Number(numAffectedRows ?? 0) > 0;
}

export async function allRetained(tx: Tx, now: Date): Promise<PassedMessage[]> {
  const rows = await tx
    .selectFrom("application_retained")
    .selectAll()
    .where((eb) => eb.or([eb("expires_at", "is", null), eb("expires_at", ">", now)]))
    .orderBy("topic")
    .execute();
  return rows.map((row) => ({
    topic: row.topic,
    payload: row.payload,
    qos: row.qos as 0 | 1 | 2,
    properties: restoredProperties(row.properties),
    expiresAt: row.expires_at?.getTime(),
  }));
}

export async function forgetExpired(tx: Tx, now: Date): Promise<void> {
  await tx.deleteFrom("application_retained").where("expires_at", "<=", now).execute();
  await tx.deleteFrom("application_messages").where("expires_at", "<=", now).execute();
}
