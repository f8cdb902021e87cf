import { sql } from "kysely";
import type { Tx } from "../db/index.ts";

/** Says that a gateway lives; false where it had not been known to. */
export async function beat(tx: Tx, gatewayId: string, now: Date): Promise<boolean> {
  const { rows } = await sql<{ known: boolean }>`
    insert into mqtt_gateways as g (gateway_id, seen_at) values (${gatewayId}, ${now})
    on conflict (gateway_id) do update set seen_at = excluded.seen_at
    returning xmax <> 0 as known`.execute(tx);
  return rows[0]?.known === true;
}

/** Gateways whose last word is older than `before`. */
export async function silentGateways(tx: Tx, before: Date): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select gateway_id as id from mqtt_gateways where seen_at < ${before}
    order by seen_at limit 100`.execute(tx);
  return rows.map(({ id }) => id);
}

export async function forgetGateway(tx: Tx, gatewayId: string, before?: Date): Promise<void> {
  await tx
    .deleteFrom("mqtt_gateways")
    .where("gateway_id", "=", gatewayId)
    .$if(before !== undefined, (query) => query.where("seen_at", "<", before as Date))
    .execute();
}
