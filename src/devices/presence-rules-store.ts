import { type RawBuilder, sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableJson } from "../kernel/storable.ts";
import type { PresenceRule, PresenceRules, ProductPresence } from "./types.ts";

/** Products of a tenant that may have a rule of their own. */
export const MAX_RULES = 200;

interface Row {
  product: string;
  heartbeat_interval_seconds: number;
  offline_after_missed: number;
  sleep: PresenceRule["sleep"];
  updated_at: Date;
  updated_by: string;
}

export async function listRules(tx: Tx): Promise<ProductPresence[]> {
  const { rows } = await sql<Row>`
    select product, heartbeat_interval_seconds, offline_after_missed, sleep, updated_at, updated_by
    from presence_rules order by product limit ${MAX_RULES}`.execute(tx);
  return rows.map((row) => ({
    product: row.product,
    heartbeatIntervalSeconds: row.heartbeat_interval_seconds,
    offlineAfterMissed: row.offline_after_missed,
    sleep: row.sleep,
    updatedAt: row.updated_at.toISOString(),
    updatedBy: row.updated_by,
  }));
}

/** False when the tenant has as many as it may. */
export async function putRule(
  tx: Tx,
  tenantId: string,
  product: string,
  rule: PresenceRule,
  by: { name: string; at: Date },
): Promise<boolean> {
  const { rows } = await sql`
    insert into presence_rules as r (tenant_id, product, heartbeat_interval_seconds,
      offline_after_missed, sleep, updated_at, updated_by)
    select ${tenantId}, ${product}, ${rule.heartbeatIntervalSeconds}, ${rule.offlineAfterMissed},
           ${storableJson([...rule.sleep])}::jsonb, ${by.at}, ${by.name}
    where exists (select 1 from presence_rules where product = ${product})
       or (select count(*) from presence_rules) < ${MAX_RULES}
    on conflict (tenant_id, product) do update set
      heartbeat_interval_seconds = excluded.heartbeat_interval_seconds,
      offline_after_missed = excluded.offline_after_missed, sleep = excluded.sleep,
      updated_at = excluded.updated_at, updated_by = excluded.updated_by
    returning product`.execute(tx);
  return rows.length > 0;
}

/** False when there is none. */
export async function deleteRule(tx: Tx, product: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("presence_rules")
    .where("product", "=", product)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

/** Joins each `device_states s` with its product's rule; nothing where no product has one. */
export function ruleSource({ products }: PresenceRules): RawBuilder<unknown> {
  if (products.size === 0) return sql``;
  const rules = [...products.values()];
  return sql`
    join devices d on d.tenant_id = s.tenant_id and d.id = s.device_id
    left join unnest(${[...products.keys()]}::text[],
      ${rules.map((rule) => rule.heartbeatIntervalSeconds)}::float8[],
      ${rules.map((rule) => rule.offlineAfterMissed)}::float8[]
    ) as r(product, interval_seconds, missed) on r.product = d.product`;
}

/** `interval_seconds` and `missed` of the rule that `ruleSource` has found. */
export function intervalColumns({ usual, products }: PresenceRules): RawBuilder<unknown> {
  const { heartbeatIntervalSeconds: interval, offlineAfterMissed: missed } = usual;
  if (products.size === 0) {
    return sql`${interval}::float8 as interval_seconds, ${missed}::float8 as missed`;
  }
  return sql`coalesce(r.interval_seconds, ${interval}) as interval_seconds,
    coalesce(r.missed, ${missed}) as missed`;
}
