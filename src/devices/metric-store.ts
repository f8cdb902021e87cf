import { sql } from "kysely";
import type { Tx } from "../db/index.ts";
import { storableText } from "../kernel/storable.ts";
import type { MetricDeclaration, MetricSlot } from "../protocol/index.ts";

/** One at a time changes what is declared of a product, until its transaction ends. */
export async function lockProductMetrics(tx: Tx, tenantId: string, product: string): Promise<void> {
  const key = `metrics/${tenantId}/${product}`;
  await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx);
}

interface MetricRow {
  product: string;
  name: string;
  type: MetricDeclaration["type"];
  unit: string;
  description: string;
  minimum: number | null;
  maximum: number | null;
  decimals: number | null;
}

/** Declarations of one product, or of all, by product and name. */
export async function listMetrics(
  tx: Tx,
  product?: string,
): Promise<({ product: string } & MetricDeclaration)[]> {
  const { rows } = await sql<MetricRow>`
    select product, name, type, unit, description, minimum, maximum, decimals
    from product_metrics where ${product ?? null}::text is null or product = ${product ?? null}
    order by product, name`.execute(tx);
  return rows.map(({ minimum, maximum, decimals, ...row }) => ({
    ...row,
    ...(minimum === null ? {} : { minimum }),
    ...(maximum === null ? {} : { maximum }),
    ...(decimals === null ? {} : { decimals }),
  }));
}

/** Columns of wide rows of one product, or of all, in their order. */
export async function listSlots(
  tx: Tx,
  product?: string,
): Promise<({ product: string } & MetricSlot)[]> {
  const { rows } = await sql<{
    product: string;
    slot: number;
    name: string;
    decimals: number;
    at: Date;
  }>`
    select product, slot, name, decimals, in_use_from as at from product_metric_slots
    where ${product ?? null}::text is null or product = ${product ?? null}
    order by product, slot`.execute(tx);
  return rows.map(({ at, ...row }) => ({ ...row, from: at.getTime() }));
}

export async function replaceMetrics(
  tx: Tx,
  tenantId: string,
  product: string,
  metrics: readonly MetricDeclaration[],
  now: Date,
): Promise<void> {
  await sql`delete from product_metrics where product = ${product}`.execute(tx);
  if (metrics.length === 0) return;
  const column = <T>(read: (metric: MetricDeclaration) => T) => metrics.map(read);
  await sql`
    insert into product_metrics (tenant_id, product, name, type, unit, description, minimum, maximum,
      decimals, declared_at)
    select ${tenantId}, ${product}, m.*, ${now} from unnest(
      ${column(({ name }) => name)}::text[], ${column(({ type }) => type)}::text[],
      ${column(({ unit }) => storableText(unit ?? ""))}::text[],
      ${column(({ description }) => storableText(description ?? ""))}::text[],
      ${column(({ minimum }) => minimum ?? null)}::double precision[],
      ${column(({ maximum }) => maximum ?? null)}::double precision[],
      ${column(({ decimals }) => decimals ?? null)}::smallint[]
    ) as m`.execute(tx);
}

export async function insertSlots(
  tx: Tx,
  tenantId: string,
  product: string,
  slots: readonly MetricSlot[],
): Promise<void> {
  for (const { slot, name, decimals, from } of slots) {
    await sql`
      insert into product_metric_slots (tenant_id, product, slot, name, decimals, in_use_from)
      values (${tenantId}, ${product}, ${slot}, ${name}, ${decimals}, ${new Date(from)})`.execute(
      tx,
    );
  }
}

/** What was last known of a device's clock; null before its first heartbeat. */
export async function findClockOffset(tx: Tx, deviceId: string): Promise<number | null> {
  const { rows } = await sql<{ offset: string | null }>`
    select clock_offset_ms as offset from device_states where device_id = ${deviceId}`.execute(tx);
  const offset = rows[0]?.offset;
  return offset === null || offset === undefined ? null : Number(offset);
}

export async function productsOf(
  tx: Tx,
  deviceIds: readonly string[],
): Promise<Map<string, string>> {
  const { rows } = await sql<{ id: string; product: string }>`
    select id, product from devices where id = any(${deviceIds}::text[])`.execute(tx);
  return new Map(rows.map(({ id, product }) => [id, product]));
}
