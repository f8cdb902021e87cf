import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { storableJson } from "../kernel/storable.ts";
import { type PassedMessage, restoredProperties, storedProperties } from "./passed-properties.ts";

export interface RetainedBounds {
  retainedPerDevice: number;
  retainedPerTenant: number;
}

/** Keeps the last message of a topic; throws `quota-exceeded` for one topic too many. */
export async function keepRetained(
  tx: Tx,
  tenantId: string,
  { deviceId, suffix }: { deviceId: string; suffix: string },
  message: PassedMessage,
  bounds: RetainedBounds,
): Promise<void> {
  const expiresAt = message.expiresAt === undefined ? null : new Date(message.expiresAt);
  const properties = storableJson(storedProperties(message.properties));
  const { numAffectedRows } = await sql`
    insert into mqtt_retained (tenant_id, device_id, suffix, payload, qos, properties, expires_at)
    select ${tenantId}, ${deviceId}, ${suffix}, ${message.payload}, ${message.qos},
           ${properties}::jsonb, ${expiresAt}
    where exists (select from mqtt_retained where device_id = ${deviceId} and suffix = ${suffix})
      or ((select count(*) from mqtt_retained where device_id = ${deviceId})
            < ${bounds.retainedPerDevice}
          and (select count(*) from mqtt_retained) < ${bounds.retainedPerTenant})
    on conflict (tenant_id, device_id, suffix) do update set payload = excluded.payload,
      qos = excluded.qos, properties = excluded.properties, expires_at = excluded.expires_at
  `.execute(tx);
  if (Number(numAffectedRows ?? 0) > 0) return;
  throw new AppError("quota-exceeded", "too many topics hold a retained message");
}

export async function clearRetained(tx: Tx, deviceId: string, suffix: string): Promise<void> {
  await tx
    .deleteFrom("mqtt_retained")
    .where("device_id", "=", deviceId)
    .where("suffix", "=", suffix)
    .execute();
}

/** All that is retained of a device, by its topics' order. */
export async function retainedOf(tx: Tx, deviceId: string, prefix: string, now: Date) {
  const rows = await tx
    .selectFrom("mqtt_retained")
    .select(["suffix", "payload", "qos", "properties", "expires_at"])
    .where("device_id", "=", deviceId)
    .where((eb) => eb.or([eb("expires_at", "is", null), eb("expires_at", ">", now)]))
    .orderBy("suffix")
    .execute();
  return rows.map(
    (row): PassedMessage => ({
      topic: prefix + row.suffix,
      payload: row.payload,
      qos: row.qos as 0 | 1 | 2,
      properties: restoredProperties(row.properties),
      expiresAt: row.expires_at?.getTime(),
    }),
  );
}

/** MQTT 5.0 §3.3.2.3.3: a retained message that has expired is gone. */
export async function expireRetained(tx: Tx, now: Date): Promise<void> {
  await tx.deleteFrom("mqtt_retained").where("expires_at", "<=", now).execute();
}
